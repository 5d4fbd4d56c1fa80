"""Authorities and certificates, made with the openssl command as an operator would make them."""

import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, capture_output=True,
                   timeout=60)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Pair:
    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    def read(self):
        return self.certificate.read_bytes(), self.key.read_bytes()


class Authority:
    """Its files and those of its certificates are in a folder of their own."""

    def __init__(self, folder, name):
        self.folder = folder / name
        self.folder.mkdir()
        self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}",
                 "-days", 30)

    def issue(self, name, alternative_names=None, days=10):
        """A certificate; `alternative_names` as openssl writes them, "DNS:a,IP:127.0.0.1". With -1 day it has
        expired."""
        request = self.folder / f"{name}.csr"
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        extensions = ["-addext", f"subjectAltName={alternative_names}"] if alternative_names else []
        _openssl("req", *_NEW_KEY, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}", *extensions)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", days,
                 "-copy_extensions", "copy", "-out", pair.certificate)
        return pair
