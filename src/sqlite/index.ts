export { type SqliteOptions, sqliteStorage } from './storage.ts'
