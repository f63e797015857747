"""Bytes: the proxy does not look into what it carries, which is HTTP/1.1 on 50 connections."""
from bench import setup
from bench.cases.http import Http

ROLE = setup.Role(front="tcp", back="tcp")

CASES = [
    Http("tcp", "TCP, 1 KiB answers to small requests, 50 connections", role=ROLE,
         names=("fsm", "nginx", "haproxy", "envoy")),
    Http("tcp-64k", "TCP, 64 KiB answers to small requests, 50 connections", role=ROLE, size=65536,
         names=("fsm", "nginx", "haproxy", "envoy")),
]
