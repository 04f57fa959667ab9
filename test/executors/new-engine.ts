import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type CreateEngineOptions,
  createEngine,
  type Engine,
  type LogLineView,
  memoryStorage,
  type Session,
} from 'jobchart'
import { onTestFinished } from 'vitest'

/** A folder that goes with its test. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-executors-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** An engine with real processes and threads, and an editor; it is stopped with its test. */
export async function newEngine(
  options: Omit<CreateEngineOptions, 'storage'> & Partial<CreateEngineOptions>,
): Promise<{ readonly engine: Engine; readonly ada: Session }> {
  const engine = await createEngine({ storage: memoryStorage(), ...options })
  onTestFinished(() => engine.stop({ timeout: 0 }))
  return { engine, ada: engine.as({ id: 'ada', role: 'editor' }) }
}

/** What a shell runs. */
export function shell(script: string, ...args: readonly string[]) {
  return { command: '/bin/sh', args: ['-c', script, 'sh', ...args] }
}

/** The first line of a job's log that begins so, as soon as it is there. */
export async function lineOf(session: Session, id: string, start: string): Promise<string> {
  for await (const { text } of session.logs(id, { follow: true })) if (text.startsWith(start)) return text
  throw new Error(`the job ended without a line that begins with "${start}"`)
}

/** All lines of a job's log, when it has ended. */
export async function linesOf(session: Session, id: string): Promise<readonly LogLineView[]> {
  return await allOf(session.logs(id, { follow: true }))
}

/** Resolves when the condition holds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** The process runs: it is not gone, and no zombie. */
export function isAlive(id: number): boolean {
  const stat = `/proc/${id}/stat`
  if (!existsSync(stat)) return false
  try {
    return !/\) [ZX] /.test(readFileSync(stat, 'utf8'))
  } catch {
    return false
  }
}

/** All that comes, once nothing more does. */
export async function allOf<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}
