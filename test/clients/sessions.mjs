/**
 * Sessions of express-session in connect-redis: node sessions.mjs <port>. Two web servers, with a connection each, share the
 * sessions of their visitors.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { RedisStore } from "connect-redis";
import session from "express-session";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const say = (text, value) => console.log(`${text}: ${JSON.stringify(value)}`);

const servers = [];
const stores = [];
for (let i = 0; i < 2; i++) {
  const client = await createClient({ socket: { host: "127.0.0.1", port } }).connect();
  const store = new RedisStore({ client, prefix: "site:", ttl: 1000 });
  const withSession = session({
    store,
    secret: "é secret",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 500_000 },
  });
  const server = createServer((request, response) =>
    withSession(request, response, () => answer(request, response).catch((error) => response.end(error.message))),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  servers.push(server);
  stores.push({ store, client });
}

async function answer(request, response) {
  const { session } = request;
  const { pathname, searchParams } = new URL(request.url, "http://site");
  if (pathname === "/login") Object.assign(session, { user: searchParams.get("user"), cart: [] });
  else if (pathname === "/add") session.cart.push(searchParams.get("item"));
  else if (pathname === "/renew") await new Promise((done) => session.regenerate(done));
  else if (pathname === "/logout") await new Promise((done) => session.destroy(done));
  response.end(JSON.stringify({ user: request.session?.user, cart: request.session?.cart }));
}

/** A visitor, who keeps the cookie and asks one server after the other. */
class Visitor {
  cookie = "";
  turn = 0;

  async ask(path) {
    const { port } = servers[this.turn++ % servers.length].address();
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie: this.cookie } });
    const given = response.headers.get("set-cookie");
    if (given !== null) this.cookie = given.split(";")[0];
    return response.json();
  }
}

const [first, second] = stores;
const visitors = Array.from({ length: 150 }, () => new Visitor());
say("a stranger", await new Visitor().ask("/"));
await Promise.all(
  visitors.map(async (visitor, i) => {
    await visitor.ask(`/login?user=${encodeURIComponent(`user ${i} é`)}`);
    for (let n = 0; n <= i % 3; n++) await visitor.ask(`/add?item=${n}`);
  }),
);
say("visitor 7", await visitors[7].ask("/"));
say("visitor 8", await visitors[8].ask("/"));
say("sessions", [await first.store.length(), await second.store.length(), new Set(await second.store.ids()).size]);
const [key] = await first.client.keys("site:*");
const ttl = await first.client.pTTL(key);
say("deadline", ttl > 400_000 && ttl <= 500_000);
await first.client.expire(key, 100);
await Promise.all(visitors.map((visitor) => visitor.ask("/")));
say("touched", (await first.client.pTTL(key)) > 100_000);
const old = visitors[9].cookie;
await visitors[9].ask("/renew");
say("renewed", [visitors[9].cookie !== old, await visitors[9].ask("/")]);
await visitors[7].ask("/logout");
say("logged out", await visitors[7].ask("/"));
say(
  "all",
  (await first.store.all())
    .map(({ user, cart }) => `${user} ${cart}`)
    .sort()
    .slice(0, 5),
);
say("sessions", await second.store.length());
await second.store.clear();
say("cleared", [await first.store.length(), await first.client.dbSize()]);
say("visitor 8", await visitors[8].ask("/"));
process.exit(0);
