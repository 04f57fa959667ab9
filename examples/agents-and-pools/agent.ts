/**
 * An agent: a process of its own, which the engine's process starts with `fork`. It talks to the engine by messages of
 * the process; over HTTP it would look the same.
 *
 *     node agent.ts <version> <pool> …
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { imageSize } from 'image-size'
import type { TaskContext } from 'jobchart'
import { type AgentAnswer, createAgent, transportOver } from 'jobchart/agents'
import type { ToolOutput } from 'jobchart/presets'
import JSZip from 'jszip'
import { contentOf } from './files.ts'

type Input = { readonly file: { readonly id: string } }

const [version = '', ...pools] = process.argv.slice(2)
const waiting = new Map<number, (answer: AgentAnswer) => void>()
let requests = 0

process.on('message', ({ number, answer }: { readonly number: number; readonly answer: AgentAnswer }) => {
  waiting.get(number)?.(answer)
  waiting.delete(number)
})

const transport = transportOver((request) => {
  return new Promise((resolve) => {
    requests++
    waiting.set(requests, resolve)
    process.send?.({ number: requests, request })
  })
})

/** Stores an artifact under the hash of its content. */
async function stored(content: Uint8Array | string): Promise<ToolOutput> {
  const id = createHash('sha256').update(content).digest('hex').slice(0, 12)
  await mkdir('artifacts', { recursive: true })
  await writeFile(join('artifacts', id), content)
  return { type: 'artifact', id }
}

/** Unpacks a document, and stores each part of it. */
async function unpack({ input, progress, step, send }: TaskContext<Input>): Promise<ToolOutput[]> {
  const archive = await JSZip.loadAsync(await contentOf(input.file.id))
  const parts = Object.values(archive.files).filter(({ dir }) => !dir)
  const outputs: ToolOutput[] = []
  for (const part of parts) {
    outputs.push(await step(part.name, async () => stored(await part.async('uint8array'))))
    progress({ completed: outputs.length, total: parts.length })
  }
  await send({ type: 'outputReady' })
  await send({ type: outputs.length > 0 ? 'valid' : 'invalid' })
  return outputs
}

/** Measures an image. */
async function measure({ input, send }: TaskContext<Input>): Promise<ToolOutput[]> {
  const { width, height, type } = imageSize(await contentOf(input.file.id))
  const output = await stored(JSON.stringify({ type, width, height }))
  await send({ type: 'outputReady' })
  await send({ type: width > 0 && height > 0 ? 'valid' : 'invalid' })
  return [output]
}

const agent = createAgent({
  transport,
  pools,
  functions: [
    { name: '@viewer/unpack', version, run: unpack },
    { name: '@viewer/measure', version, run: measure },
  ],
})
process.on('disconnect', () => process.exit())
await agent.start()
