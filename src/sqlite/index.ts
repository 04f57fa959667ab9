export type { SqliteOptions } from './options.ts'
export { sqliteStorage } from './storage.ts'
