import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import openapiTS, { astToString } from 'openapi-typescript';
import { format, resolveConfig } from 'prettier';

/**
 * src/api.ts: the types of what the SDK sends and reads, from the server's OpenAPI document. The document is made from
 * the built application (`npm run build` first), which neither listens nor touches its database; `--from <url>` fetches
 * it from a server that runs. `--check` fails when the file is not what the document gives.
 */
const SCHEMAS = ['ActivateMachineBody', 'HeldEntitlementView', 'MachineView', 'ValidatedLicenseView', 'ValidateKeyBody', 'ValidationView'];
const target = fileURLToPath(new URL('../src/api.ts', import.meta.url));

const from = process.argv.indexOf('--from');
const text = await typesOf(from === -1 ? await documentOfApplication() : await (await fetch(process.argv[from + 1])).json());
if (!process.argv.includes('--check')) await writeFile(target, text);
else if ((await readFile(target, 'utf8')) !== text) {
  console.error('sdk/src/api.ts is not what the OpenAPI document gives: npm run generate -w sdk');
  process.exitCode = 1;
}

async function documentOfApplication() {
  const dist = new URL('../../dist/', import.meta.url);
  const load = (path) => import(new URL(path, dist).href);
  const [{ createApp }, { Clock }, { loadConfig }, { Database }, { createLogger }, { MasterKey }, { createOpenApi }, { VERSION }] =
    await Promise.all(
      [
        'app.js',
        'core/clock.js',
        'core/config.js',
        'core/database.js',
        'core/logger.js',
        'core/master-key.js',
        'core/openapi.js',
        'core/version.js',
      ].map(load),
    );
  const config = loadConfig({});
  const database = new Database('postgresql://nobody@127.0.0.1:1/nothing', 1);
  const masterKey = new MasterKey(Buffer.alloc(32));
  const app = await createApp({ config, database, masterKey, logger: createLogger('silent'), clock: new Clock() });
  return JSON.parse(JSON.stringify(createOpenApi(app, VERSION)));
}

/** Of the whole document, the named schemas and what they refer to. */
async function typesOf({ openapi, info, components }) {
  const schemas = {};
  const add = (name) => {
    if (name in schemas) return;
    schemas[name] = components.schemas[name];
    if (schemas[name] === undefined) throw new Error(`The document has no schema ${name}`);
    for (const [, other] of JSON.stringify(schemas[name]).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) add(other);
  };
  SCHEMAS.forEach(add);
  const ordered = Object.fromEntries(Object.entries(schemas).sort(([one], [other]) => (one < other ? -1 : 1)));
  const ast = await openapiTS({ openapi, info, paths: {}, components: { schemas: ordered } }, { silent: true, defaultNonNullable: false });
  const header = '/** Made from the OpenAPI document by `npm run generate -w sdk`: do not edit. */\n\n';
  return format(header + astToString(ast), { ...(await resolveConfig(target)), parser: 'typescript' });
}
// The application was never started, and has nothing to close; its timers would keep the process.
process.exit();
