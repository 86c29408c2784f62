/** What a parser of the first bytes of a connection can say besides its result. */

/** The bytes so far are right but not all: call again with more behind them. */
export const MORE = 0;

/** What arrived is not what was expected. Nothing that follows may be parsed. */
export interface Malformed {
  /** A few words for the log; never contains what was received. */
  readonly error: string;
}

export function malformed(error: string): Malformed {
  return { error };
}
