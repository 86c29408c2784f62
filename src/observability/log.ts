/** Messages about evenkeel itself, one line each, for people (text) or programs (JSON). */
import type { Clock } from "../base/clock.ts";
import type { LogConfig } from "./schema.ts";

export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;
export type Level = LogConfig["level"];

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

const RANK: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A log whose level and form can change while it is in use: a reload does. */
export interface ConfigurableLog extends Log {
  configure(config: LogConfig): void;
}

/** `write` gets whole lines with their line break. */
export function createLog(config: LogConfig, clock: Clock, write: (line: string) => void): ConfigurableLog {
  let current = config;
  const at =
    (level: Level) =>
    (message: string, fields: Fields = {}) => {
      if (RANK[level] < RANK[current.level]) return;
      const format = current.format === "json" ? jsonLine : textLine;
      write(format(new Date(clock.wallNow()).toISOString(), level, message, fields));
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    configure: (next) => {
      current = next;
    },
  };
}

/** Says nothing; for tests and tools. */
export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function jsonLine(time: string, level: Level, message: string, fields: Fields): string {
  return `${JSON.stringify({ time, level, message, ...fields })}\n`;
}

function textLine(time: string, level: Level, message: string, fields: Fields): string {
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${printable(message)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) line += `  ${name}=${fieldText(value)}`;
  }
  return `${line}\n`;
}

function fieldText(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=\\]+$/.test(text) ? printable(text) : JSON.stringify(text);
}

/** Line breaks stay (messages may show an excerpt of a file); other control bytes could drive a terminal. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
