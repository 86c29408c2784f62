import { ERRORS } from "../../src/base/errors.ts";

export function errorsPage(): string {
  let page =
    "# Reasons\n\nGenerated from the error table. These codes stand in the access log (`reason`), in `evenkeel_refusals_total` and in\n";
  page += "error answers whenever evenkeel itself ended an exchange. Status 0: nobody was left to answer.\n\n";
  page += "| code | status | caused by | tried again | meaning |\n|---|---|---|---|---|\n";
  const source = { downstream: "the client", upstream: "the endpoint", internal: "evenkeel or its configuration" };
  const retry = (rule: (typeof ERRORS)[keyof typeof ERRORS]["retry"]): string =>
    rule === "never" ? "never" : `if \`retry.on\` has \`${rule}\``;
  for (const [code, row] of Object.entries(ERRORS)) {
    page += `| \`${code}\` | ${row.status} | ${source[row.source]} | ${retry(row.retry)} | ${row.message} |\n`;
  }
  return page;
}
