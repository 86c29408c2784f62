/** What an operator has decided about an endpoint, beside what health checks find out. */

export const ADMIN_STATES = ["ready", "drain", "maintenance"] as const;

/**
 * `ready`: may be picked while it is well. `drain`: begins nothing new; what is under way and sessions may finish, up to the
 * pool's drain timeout. `maintenance`: not used and not checked, what is under way is closed at once.
 */
export type AdminState = (typeof ADMIN_STATES)[number];
