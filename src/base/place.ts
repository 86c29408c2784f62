/** Places in a configuration, and errors that name theirs. */
import { EvenkeelError } from "./errors.ts";

export type Path = readonly (string | number)[];

export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** Something in the configuration that cannot be used. The message begins with the place. */
export class PlacedError extends EvenkeelError {
  /** Below what was being built when it was thrown; whoever knows what that is part of puts it in front, by `at`. */
  readonly path: Path;
  /** The message without the place. */
  readonly reason: string;

  constructor(path: Path, reason: string, options?: ErrorOptions) {
    super(path.length === 0 ? reason : `${pathText(path)}: ${reason}`, options);
    this.path = path;
    this.reason = reason;
  }
}

/** Runs `build` for what stands at `path`; an EvenkeelError that it throws names the place. */
export function at<Value>(path: Path, build: () => Value): Value {
  try {
    return build();
  } catch (error) {
    if (error instanceof PlacedError) throw new PlacedError([...path, ...error.path], error.reason, { cause: error });
    if (error instanceof EvenkeelError) throw new PlacedError(path, error.message, { cause: error });
    throw error;
  }
}

/** Builds something of each of `items`. One that stands alone may have been written without a list, and is not numbered. */
export function atEach<Item, Value>(items: readonly Item[], build: (item: Item) => Value): Value[] {
  return items.map((item, index) => at(items.length > 1 ? [index] : [], () => build(item)));
}
