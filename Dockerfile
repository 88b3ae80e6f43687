# The workers, the API, and every script that an operator runs beside them. No build step: Node 24 runs the TypeScript as it is.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY billing billing
COPY jobs jobs
COPY db db
COPY paddle paddle
COPY runtime runtime
COPY workers workers
COPY api api
COPY dashboard dashboard
COPY scripts scripts
USER node
CMD ["node", "workers/main.ts"]
