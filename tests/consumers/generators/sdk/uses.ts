// Registers, lists, pages and changes clients with what openapi-ts makes of the document: base and token.
import { createClient } from "./client/client";
import { changeClient, getClient, listClients, registerClient } from "./client/sdk.gen";

const [base, token] = process.argv.slice(2);
const client = createClient({ baseUrl: base, auth: token });

function check(holds: unknown, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

const form = (number: number) => ({
  client_id: `by-sdk-${number}`,
  name: `By SDK ${number}`,
  dataflow: "lims-to-cms",
  resource_servers: ["cms-fulton"],
  scopes: ["system/Bundle.c"],
});

async function main() {
  for (const number of [0, 1, 2]) {
    const made = await registerClient({ client, body: form(number) });
    check(made.data?.secret && made.data.client_id === form(number).client_id, made);
  }
  const again = await registerClient({ client, body: form(2) });
  check(again.error?.status === 409, again);

  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const query = { limit: 2, q: "By SDK", ...(cursor ? { cursor } : {}) };
    const page = await listClients({ client, query });
    check(page.data, page);
    seen.push(...page.data.items.map((item) => item.client_id));
    cursor = page.data.next_cursor;
  } while (cursor);
  check(seen.join() === [0, 1, 2].map((number) => form(number).client_id).join(), seen);

  const path = { id: "by-sdk-1" };
  const known = await getClient({ client, path });
  const headers = { "If-Match": known.response?.headers.get("etag") ?? "" };
  const changed = await changeClient({ client, path, headers, body: { name: "Changed", scopes: null } });
  check(changed.data?.name === "Changed", changed);
  const late = await changeClient({ client, path, headers, body: { name: "Late" } });
  check(late.error?.status === 412, late);
  console.log("done");
}

main().catch((cause) => {
  console.error(cause);
  process.exit(1);
});
