import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/**
 * dist/esm and dist/cjs: each entry as one module, `jose` left outside, with declarations. Both folders have the same
 * declarations; the package.json in dist/cjs makes them, and the modules beside them, CommonJS. (`require` loads jose,
 * which is ESM alone, on Node 20.19 and later.)
 */
const root = fileURLToPath(new URL('../', import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

// Done already: the server's build calls this each time.
const last = `${root}dist/cjs/package.json`;
if (existsSync(last)) {
  const inputs = ['src', 'scripts', ''].flatMap((folder) =>
    readdirSync(root + folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => `${root}${folder}/${name}`),
  );
  if (inputs.every((path) => statSync(path).mtimeMs < statSync(last).mtimeMs)) process.exit();
}

execFileSync(process.execPath, [tsc, '-p', root], { cwd: root, stdio: 'inherit' });
for (const format of ['esm', 'cjs']) {
  await build({
    absWorkingDir: root,
    entryPoints: ['src/index.ts', 'src/node.ts'],
    outdir: `dist/${format}`,
    bundle: true,
    format,
    // Neutral: an import of Node's in the main entry does not resolve, and the build fails.
    platform: 'neutral',
    target: 'es2022',
    external: ['jose', 'node:*', './index.js'],
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'warning',
  });
}
cpSync(`${root}dist/esm`, `${root}dist/cjs`, { recursive: true, filter: (path) => !/\.js(\.map)?$/.test(path) });
// Written last: it says that all is done.
writeFileSync(last, '{ "type": "commonjs" }\n');
