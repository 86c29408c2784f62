export default {
  listeners: { web: { adress: ":8080", pool: "app" } },
  pools: { app: { endpoints: ["127.0.0.1:3001"] } },
};
