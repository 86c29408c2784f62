/** What a FrameReader is told of its connection, and what bounds it. */
export interface FrameReaderOptions {
  /** Our SETTINGS_MAX_FRAME_SIZE. */
  readonly maxFrameBytes: number;
  /** Most bytes of a field block, all its frames together. */
  readonly maxBlockBytes: number;
  /** Most CONTINUATION frames of a field block. */
  readonly maxContinuations: number;
  /** `server`: what is read comes from a client, and begins with the preface. */
  readonly role: "server" | "client";
}

export const DEFAULT_READER_LIMITS = { maxFrameBytes: 16_384, maxBlockBytes: 65_536, maxContinuations: 16 } as const;
