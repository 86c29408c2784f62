export const config = { listeners: {} };
