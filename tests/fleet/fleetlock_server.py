#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""fleetlock_server.py DIRECTORY [PORT]: a FleetLock server with one slot for each group, as its
protocol's text has it, on loopback. It writes its port to DIRECTORY/port and each request to
DIRECTORY/requests, one JSON line each. DIRECTORY/behaviour.json, if it is there, has it misbehave:
{"status": 500, "body": "…"} answers that, "delay": waits so many seconds first, "drop": closes the
connection unanswered after it did what was asked, "die": the whole server ends there, "keep": it
keeps connections open behind an answer, and "clock" is by how many seconds its clock is
ahead. With DIRECTORY/server.crt and server.key it speaks
TLS, and with DIRECTORY/clients.crt asks for a client's certificate."""

import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DIRECTORY = Path(sys.argv[1])
HOLDERS = DIRECTORY / "holders.json"
LOCK = threading.Lock()


def error(status, kind, value):
    return status, json.dumps({"kind": kind, "value": value})


def holders():
    return json.loads(HOLDERS.read_text()) if HOLDERS.exists() else {}


def answer(path, headers, body):
    if headers.get("fleet-lock-protocol") != "true":
        return error(400, "missing_header", "the header fleet-lock-protocol is not there")
    try:
        params = json.loads(body)["client_params"]
        group, client = params["group"], params["id"]
    except (ValueError, KeyError, TypeError):
        return error(400, "bad_request", "no client_params")
    with LOCK:
        held = holders()
        if path == "/v1/pre-reboot":
            if held.get(group, client) != client:
                return error(409, "failed_lock", f"the slot of {group} is held by {held[group]}")
            held[group] = client
        elif path == "/v1/steady-state":
            if held.get(group) == client:
                del held[group]
        else:
            return error(404, "not_found", path)
        HOLDERS.write_text(json.dumps(held))
    return 200, ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        with LOCK, (DIRECTORY / "requests").open("a") as log:
            log.write(json.dumps({"path": self.path, "body": body,
                                  "authorization": self.headers.get("authorization", ""),
                                  "protocol": self.headers.get("fleet-lock-protocol", "")}) + "\n")
        file = DIRECTORY / "behaviour.json"
        behaviour = json.loads(file.read_text()) if file.exists() else {}
        time.sleep(behaviour.get("delay", 0))
        if "status" in behaviour:
            status, text = behaviour["status"], behaviour.get("body", "")
        else:
            status, text = answer(self.path, self.headers, body)
        if behaviour.get("die"):
            os._exit(0)
        self.close_connection = not behaviour.get("keep")
        if behaviour.get("drop"):
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(text.encode())

    def date_time_string(self, timestamp=None):
        file = DIRECTORY / "behaviour.json"
        behaviour = json.loads(file.read_text()) if file.exists() else {}
        return super().date_time_string(time.time() + behaviour.get("clock", 0))

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def main():
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
    if (DIRECTORY / "server.crt").exists():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(DIRECTORY / "server.crt", DIRECTORY / "server.key")
        if (DIRECTORY / "clients.crt").exists():
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(DIRECTORY / "clients.crt")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    staged = DIRECTORY / "port.new"
    staged.write_text(str(server.server_address[1]))
    staged.rename(DIRECTORY / "port")
    server.serve_forever()


main()
