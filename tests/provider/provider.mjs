// node-oidc-provider, a certified OpenID provider that others wrote, over TLS on loopback.
// Arguments: its package directory, certificate, key, redirect URI. Prints its issuer when it listens.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { pathToFileURL } from 'node:url';

const [packages, cert, key, redirectUri] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${packages}/node_modules/oidc-provider/lib/index.js`));

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) });
server.listen(0, '127.0.0.1', () => {
    const issuer = `https://localhost:${server.address().port}`;
    const provider = new Provider(issuer, {
        clients: [{
            client_id: 'mdi-auth', client_secret: 'a-secret-of-32-characters-or-more', redirect_uris: [redirectUri],
            token_endpoint_auth_method: 'client_secret_basic',
        }],
        claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email', 'email_verified'] },
        pkce: { required: () => true },
        features: { devInteractions: { enabled: true } },
        findAccount: (ctx, id) => ({
            accountId: id,
            claims: () => ({
                sub: id, name: `Person ${id}`, preferred_username: id, groups: ['registrars'],
                email: `${id}@agency.example`, email_verified: true,
            }),
        }),
    });
    server.on('request', provider.callback());
    console.log(issuer);
});
// The test holds the other end: when it is gone, so are we.
process.stdin.on('end', () => process.exit(0)).resume();
