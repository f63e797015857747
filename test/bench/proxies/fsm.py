"""fsm-sidecar with a document by hand, over either TLS library."""
import json

from bench import setup

PROTOCOLS = {"http1": "http", "http2": "http", "tcp": "tcp"}


def document(role):
    """What the controller would send this sidecar; its listener pretends the redirection."""
    protocol = "grpc" if role.grpc else PROTOCOLS[role.front]
    outbound = role.name == "client" and not role.front_tls
    port = 80 if outbound else role.upstream
    match = {"Port": port, "Protocol": protocol}
    if protocol == "tcp":
        match["TargetClusters"] = {"c": 100}
    else:
        match["HttpHostPort2Service"] = {setup.HOST: "bench"}
        match["HttpServiceRouteRules"] = {"bench": {".*": {"TargetClusters": {"c": 100}}}}
    doc = {"Version": "1",
           "Spec": {"SidecarLogLevel": "error", "SidecarTimeout": 60,
                    "Traffic": {"EnableEgress": False, "HTTP1PerRequestLoadBalancing": False,
                                "HTTP2PerRequestLoadBalancing": True}}}
    address = f"127.0.0.1:{role.upstream}"
    if outbound:
        match["DestinationIPRanges"] = ["10.99.0.1/32"]
        match["ServiceIdentity"] = "client.bench.cluster.local"
        endpoint = {"Weight": 100}
        if role.back_tls:
            endpoint["Identity"] = "spiffe://cluster.local/ns/bench/sa/server"
        doc["Outbound"] = {"TrafficMatches": {str(port): [match]},
                           "ClustersConfigs": {"c": {"Endpoints": {address: endpoint}}}}
        original = f"10.99.0.1:{port}"
    else:
        if role.front_tls == "mutual":
            doc["AllowedEndpoints"] = {"127.0.0.1": "bench.client"}
        elif role.front_tls == "server":
            match["SourceIPRanges"] = {"127.0.0.1/32": {"mTLS": True, "SkipClientCertValidation": True}}
        doc["Inbound"] = {"TrafficMatches": {str(port): match}, "ClustersConfigs": {"c": {address: 100}}}
        original = address
    doc["Listeners"] = [{"Address": f"127.0.0.1:{role.listen}",
                         "Direction": "Outbound" if outbound else "Inbound", "OriginalDst": original}]
    return doc


class Fsm:
    NAME = "fsm"
    BETWEEN = "http2"
    BIN = setup.BIN

    def missing(self):
        return None if (self.BIN / "fsm-sidecar").exists() else f"not built: {self.BIN / 'fsm-sidecar'}"

    def command(self, tmp, role):
        path = tmp / f"fsm-{role.name}.json"
        path.write_text(json.dumps(document(role)))
        base = 18090 if role.name == "client" else 18094
        return [str(self.BIN / "fsm-sidecar"), "-d", "-f", str(path), "--workers", "1",
                "--cert", str(tmp / f"{role.name}.crt"), "--key", str(tmp / f"{role.name}.key"),
                "--ca", str(tmp / "ca.crt"),
                "--admin", f"127.0.0.1:{base}", "--metrics", f"127.0.0.1:{base + 1}",
                "--outbound", f"127.0.0.1:{base + 2}", "--inbound", f"127.0.0.1:{base + 3}"]


class FsmOpenssl(Fsm):
    NAME = "fsm-openssl"
    BIN = setup.OPENSSL_BIN
