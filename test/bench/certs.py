"""One authority, and a certificate for client and server with the names that fsm checks."""
import subprocess

NAMES = ("client", "server")


def make(directory):
    def run(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)

    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", *ec, "-days", "2", "-subj", "/CN=bench ca", "-keyout", "ca.key", "-out", "ca.crt")
    for name in NAMES:
        (directory / f"{name}.ext").write_text(
            f"subjectAltName=DNS:{name}.bench.cluster.local,DNS:localhost,IP:127.0.0.1,"
            f"URI:spiffe://cluster.local/ns/bench/sa/{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        run("req", *ec, "-subj", f"/CN={name}.bench.cluster.local", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        (directory / f"{name}.pem").write_text((directory / f"{name}.crt").read_text() +
                                               (directory / f"{name}.key").read_text())
