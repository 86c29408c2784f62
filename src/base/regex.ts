/** Regular expressions from the configuration, kept from taking for ever. */
import { EvenkeelError } from "./errors.ts";

/** Text longer than this is not given to a configured regular expression: time must stay bounded. */
export const MAX_REGEX_SUBJECT = 8_192;

/** Compiles a regular expression of the configuration. Throws an EvenkeelError that says what is wrong with it. */
export function compileRegex(source: string): RegExp {
  if (hasNestedRepetition(source)) {
    throw new EvenkeelError(
      `the regular expression ${source} repeats a repetition, which can take exponential time; write it without`,
    );
  }
  try {
    return new RegExp(source);
  } catch (error) {
    throw new EvenkeelError(`${source} is not a regular expression: ${(error as Error).message}${foreignHint(source)}`);
  }
}

/** Other engines let flags stand alone before an expression; here they go with the group that they are for. */
function foreignHint(source: string): string {
  const flags = /^\(\?([ims]+)\)/.exec(source)?.[1];
  return flags === undefined ? "" : `; flags go with a group: (?${flags}:...)`;
}

/** `(a+)+` and its like: a group that contains an unbounded repetition and is itself repeated without bound. */
function hasNestedRepetition(source: string): boolean {
  const plain = source.replace(/\\./g, "_").replace(/\[[^\]]*\]/g, "_");
  return /\([^()]*(?:[+*]|\{\d+,\})[^()]*\)(?:[+*]|\{\d+,\})/.test(plain);
}
