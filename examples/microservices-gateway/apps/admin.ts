/** The admin area. That only the right people reach it is the gateway's business. */
import { serve } from "./serve.ts";

serve((_request, path) => new Response(`admin area, ${path}\n`));
