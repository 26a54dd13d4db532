"""An SMTP server on this machine (aiosmtpd) that wants TLS and a password, and prints each message as a line of JSON.

Arguments: certificate, key, "starttls", "tls" or "plain", username, password. The first line is the port.
Mail to refused@… is refused for good, mail to busy@… until the second try.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

certificate, key, mode, username, password = sys.argv[1:6]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Handler:
    tried = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 5.1.1 nobody of that name: https://secret.example/"
        if address.startswith("busy@") and address not in self.tried:
            self.tried.add(address)
            return "451 4.2.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(
            json.dumps(
                {
                    "hello": session.host_name,
                    "user": session.auth_data.login.decode() if session.auth_data else None,
                    "tls": session.ssl is not None or mode == "tls",
                    "sender": envelope.mail_from,
                    "recipients": envelope.rcpt_tos,
                    "headers": {name.lower(): str(value) for name, value in message.items()},
                    "text": message.get_content(),
                }
            ),
            flush=True,
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (username.encode(), password.encode())
    return AuthResult(success=right, handled=False, auth_data=data)


def protocol():
    starttls = context if mode == "starttls" else None
    return SMTP(
        Handler(),
        hostname="localhost",
        tls_context=starttls,
        require_starttls=starttls is not None,
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=starttls is not None,
    )


async def main():
    wrapped = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
