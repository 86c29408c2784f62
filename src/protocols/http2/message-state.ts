/**
 * The shape of one message on a stream (RFC 9113 section 8.1): interim responses, one final field section, DATA as long
 * as was said, perhaps trailers. A message of another shape is malformed: a stream error PROTOCOL_ERROR.
 */

export type MessageProblem =
  | "DATA came before the fields"
  | "trailers do not end the stream"
  | "an interim response ends the stream"
  | "the content is not as long as content-length says";

/** What a field section of a message is. */
export type SectionKind = "fields" | "trailers";

const UNKNOWN_LENGTH = -1;

export class MessageState {
  /** Bytes of content that came, without padding. */
  received = 0;
  #expected = UNKNOWN_LENGTH;
  #hasFields = false;

  /** What the next field section is, to be known before it is looked at. */
  get next(): SectionKind {
    return this.#hasFields ? "trailers" : "fields";
  }

  /**
   * The final field section came. `contentLength` is -1 when it was not said. `hasNoContent`: an answer to HEAD, or with
   * status 204 or 304, whose content-length speaks of another message.
   */
  onFields(contentLength: number, endStream: boolean, hasNoContent = false): MessageProblem | undefined {
    this.#hasFields = true;
    this.#expected = hasNoContent ? 0 : contentLength;
    return endStream ? this.#ended() : undefined;
  }

  /** A response with status 1xx came. */
  onInterim(endStream: boolean): MessageProblem | undefined {
    return endStream ? "an interim response ends the stream" : undefined;
  }

  onTrailers(endStream: boolean): MessageProblem | undefined {
    return endStream ? this.#ended() : "trailers do not end the stream";
  }

  /** A piece of DATA came. */
  onData(bytes: number): MessageProblem | undefined {
    if (!this.#hasFields) return "DATA came before the fields";
    this.received += bytes;
    if (this.#expected === UNKNOWN_LENGTH || this.received <= this.#expected) return undefined;
    return "the content is not as long as content-length says";
  }

  /** A DATA frame with END_STREAM is complete. */
  onDataEnd(): MessageProblem | undefined {
    return this.#hasFields ? this.#ended() : "DATA came before the fields";
  }

  #ended(): MessageProblem | undefined {
    if (this.#expected === UNKNOWN_LENGTH || this.received === this.#expected) return undefined;
    return "the content is not as long as content-length says";
  }
}
