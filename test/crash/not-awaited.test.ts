import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./not-awaited-child.ts', import.meta.url))

test('detached code whose job was cancelled or has ended takes no process down; a rejection of the app’s own does', () => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [PROGRAM, 'own'], { encoding: 'utf8' })
  expect([stdout, status]).toEqual(['alive\n', 1])
  expect(stderr).toContain('of the app')
})
