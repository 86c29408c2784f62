/** How this program is started: from its source, or as one compiled file. */
const IS_COMPILED = Bun.main.startsWith("/$bunfs/") || Bun.main.includes("/~BUN/");

/** How it is started again, for its workers and for taking over. */
export function ownCommand(): string[] {
  return IS_COMPILED ? [process.execPath] : [process.execPath, Bun.main];
}

export function ownArguments(): string[] {
  return process.argv.slice(2);
}

/** What people type to start it: in a clone it is not on their path. */
export const TYPED_COMMAND = IS_COMPILED ? "evenkeel" : "node tools/evenkeel.mjs";
