// Preloaded into Azurite. Its standard input is a pipe from the program that started it: when that
// program ends, in whatever way, the pipe closes and Azurite saves its data and ends too.
'use strict';

process.stdin.on('end', () => {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.exit(1), 5000).unref();
});
process.stdin.on('error', () => process.exit(1));
process.stdin.resume();
// The pipe alone is no reason to stay.
process.stdin.unref();
