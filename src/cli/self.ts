/** How this program is started again, for its workers and for taking over: from its source, or as one compiled file. */
export function ownCommand(): string[] {
  const isCompiled = Bun.main.startsWith("/$bunfs/") || Bun.main.includes("/~BUN/");
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}

export function ownArguments(): string[] {
  return process.argv.slice(2);
}
