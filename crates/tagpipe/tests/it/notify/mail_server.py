"""A mail server for tests: aiosmtpd with TLS and authentication on a loopback port of its own.

    python mail_server.py starttls|tls CERTIFICATE KEY

Prints its port, then one line of JSON for each mail it has taken, as Python's own email module reads it, and one for each wrong
password. The mail server of this test has one user, `me`, whose password is `correct horse`. It knows nobody whose address begins with
`bad`, and the first mail to somebody whose address begins with `full` has to come again.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def say(**what):
    print(json.dumps(what), flush=True)


refused_once = set()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("bad"):
            return "550 5.1.1 no such user"
        if address.startswith("full") and address not in refused_once:
            refused_once.add(address)
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        encrypted = server.transport.get_extra_info("ssl_object")
        say(
            mail={name.lower(): str(value) for name, value in mail.items()},
            body=mail.get_body(("plain",)).get_content(),
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            user=session.auth_data.login.decode(),
            tls=encrypted.version() if encrypted else None,
        )
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", b"correct horse")
    if not is_right:
        say(refused=True)
    return AuthResult(success=is_right, handled=False, auth_data=data)


async def serve(security, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    is_wrapped = security == "tls"
    loop = asyncio.get_running_loop()

    def conversation():
        return SMTP(
            Handler(),
            hostname="mail.test",
            authenticator=authenticate,
            auth_required=True,
            # It cannot tell that a connection is encrypted from its beginning.
            auth_require_tls=not is_wrapped,
            tls_context=None if is_wrapped else context,
            require_starttls=not is_wrapped,
            enable_SMTPUTF8=True,
            loop=loop,
        )

    server = await loop.create_server(conversation, "127.0.0.1", 0, ssl=context if is_wrapped else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(serve(*sys.argv[1:]))
