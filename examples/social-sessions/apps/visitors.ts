/** Who is logged in, by session id. */
export interface Visitors {
  find(session: string): Promise<Visitor | undefined>;
  keep(session: string, visitor: Visitor): Promise<void>;
}

export interface Visitor {
  readonly name: string;
  readonly posts: number;
}
