/** Which bytes may stand where (RFC 9110 section 5.6.2, RFC 9112 sections 3 to 5), as tables: one lookup per byte. */

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const SLASH = 0x2f;
export const UNDERSCORE = 0x5f;

/**
 * Bytes of a token: 0 for all others, else the byte in lower case with `_` read as `-`. Applications that turn header
 * names into variables (CGI, WSGI, ...) cannot tell `X_Real_IP` from `X-Real-IP`, so neither do we.
 */
export const TOKEN = tokenTable();
/** Bytes of a field value: visible ASCII, space, tab and bytes above 0x7f; no control bytes. */
export const VALUE = table((byte) => byte === TAB || (byte >= SPACE && byte !== 0x7f));
/** Bytes of a request target: visible ASCII without `#`, which never belongs in a request. */
export const TARGET = table((byte) => byte > SPACE && byte < 0x7f && byte !== 0x23);
/** Bytes of a Host header (RFC 3986 section 3.2.2 without user information). */
export const HOST = table((byte) => /[A-Za-z0-9._~!$&'()*+;=%:[\]-]/.test(String.fromCharCode(byte)));
/** Hexadecimal digits: their value plus one, 0 for all other bytes. */
export const HEX = hexTable();

function table(belongs: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (belongs(byte) ? 1 : 0));
}

function tokenTable(): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    const character = String.fromCharCode(byte);
    if (!/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character) || byte > 0x7f) return 0;
    return character === "_" ? 0x2d : character.toLowerCase().charCodeAt(0);
  });
}

function hexTable(): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    const digit = "0123456789abcdef".indexOf(String.fromCharCode(byte).toLowerCase());
    return byte < 0x80 && digit >= 0 ? digit + 1 : 0;
  });
}
