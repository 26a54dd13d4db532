// Registers, lists, pages and changes clients with what openapi-typescript makes of the document: base and token.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [base, token] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${token}` } });

function check(holds: unknown, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

const form = (number: number) => ({
  client_id: `by-typescript-${number}`,
  name: `By TypeScript ${number}`,
  dataflow: "lims-to-cms",
  resource_servers: ["cms-fulton"],
  scopes: ["system/Bundle.c"],
});
for (const number of [0, 1, 2]) {
  const made = await api.POST("/clients", { body: form(number) });
  check(made.data?.secret && made.data.client_id === form(number).client_id, made);
}
const again = await api.POST("/clients", { body: form(2) });
check(again.error?.status === 409, again);

const seen: string[] = [];
let cursor: string | undefined;
do {
  const query = { limit: 2, q: "By TypeScript", ...(cursor ? { cursor } : {}) };
  const page = await api.GET("/clients", { params: { query } });
  check(page.data, page);
  seen.push(...page.data.items.map((client) => client.client_id));
  cursor = page.data.next_cursor;
} while (cursor);
check(seen.join() === [0, 1, 2].map((number) => form(number).client_id).join(), seen);

const path = { id: "by-typescript-1" };
const known = await api.GET("/clients/{id}", { params: { path } });
const header = { "If-Match": known.response.headers.get("etag") ?? "" };
const patch = (name: string) =>
  api.PATCH("/clients/{id}", {
    params: { path, header },
    body: { name, scopes: null },
    headers: { "Content-Type": "application/merge-patch+json" },
  });
const changed = await patch("Changed");
check(changed.data?.name === "Changed", changed);
const late = await patch("Late");
check(late.error?.status === 412, late);
console.log("done");
