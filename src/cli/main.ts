import { run } from './program.js';

// What libraries tell their developers is nothing for whoever runs a command: stderr says what went wrong.
process.noDeprecation = true;

// Whoever reads has heard enough, like `head`: what was to be done is done, and nobody is there to be told.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

await run(process.argv.slice(2));
