// Preloaded into Azurite. Its standard input is a pipe from the program that started it: when that
// program ends, in whatever way, the pipe closes and Azurite saves its data and ends too.
'use strict';

// Azurite says that it listens before it handles signals: one that comes in between would kill it.
process.once('SIGTERM', () => {
  if (process.listenerCount('SIGTERM') === 0) process.exit(0);
});

process.stdin.on('end', () => {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.exit(1), 5000).unref();
});
process.stdin.on('error', () => process.exit(1));
process.stdin.resume();
// The pipe alone is no reason to stay.
process.stdin.unref();
