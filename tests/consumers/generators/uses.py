"""Registers, lists, pages and changes clients with what openapi-python-client makes of the document: base, token, CA."""

import ssl
import sys

from generated import AuthenticatedClient
from generated.api.clients import change_client, get_client, list_clients, register_client
from generated.models import ClientForm, Problem, RegisteredClient

base, token, authority = sys.argv[1:]
api = AuthenticatedClient(
    base_url=base, token=token, verify_ssl=ssl.create_default_context(cafile=authority)
)

for number in range(3):
    form = ClientForm(
        client_id=f"by-python-{number}",
        name=f"By Python {number}",
        dataflow="lims-to-cms",
        resource_servers=["cms-fulton"],
        scopes=["system/Bundle.c"],
    )
    made = register_client.sync(client=api, body=form)
    assert isinstance(made, RegisteredClient), made
    assert made.secret and made.scopes == ["system/Bundle.c"], made

again = register_client.sync(client=api, body=form)
assert isinstance(again, Problem) and again.status == 409, again

seen, page = [], list_clients.sync(client=api, limit=2, q="By Python")
while True:
    seen += [client.client_id for client in page.items]
    if not page.next_cursor:
        break
    page = list_clients.sync(client=api, limit=2, q="By Python", cursor=page.next_cursor)
assert seen == [f"by-python-{number}" for number in range(3)], seen

known = get_client.sync_detailed("by-python-1", client=api)
changed = change_client.sync(
    "by-python-1",
    client=api,
    body=ClientForm(name="Changed", scopes=None),
    if_match=known.headers["etag"],
)
assert isinstance(changed, RegisteredClient) and changed.name == "Changed", changed
late = change_client.sync(
    "by-python-1", client=api, body=ClientForm(name="Late"), if_match=known.headers["etag"]
)
assert isinstance(late, Problem) and late.status == 412, late
print("done")
