import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { format } from 'node:util'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

// The code of the README and the guides: each ```ts block is type-checked. Each ```ts run block is run as it is, and
// must print the ```text block after it. A block that is not a whole program can use the names of its page's <!--
// prelude … --> comment, which pages do not show.

interface Block {
  /** For example `machines-3`. */
  readonly name: string
  readonly source: string
  readonly isRun: boolean
  /** The expected output. */
  readonly expected: string | undefined
}

const pages = ['README.md', 'llms.txt', ...globSync('docs/*.md').sort()]
const blocks = pages.flatMap(blocksOf)
const programs = blocks.filter(({ isRun }) => isRun)

const root = resolve('.')
let sources = ''
let workFolder = ''

beforeAll(() => {
  mkdirSync('.jobchart', { recursive: true })
  // Inside the repository, where the packages can be resolved.
  sources = mkdtempSync(resolve('.jobchart', 'docs-'))
  workFolder = mkdtempSync(join(tmpdir(), 'jobchart-docs-'))
  for (const { name, source } of blocks) writeFileSync(join(sources, `${name}.ts`), source)
})

afterAll(() => {
  process.chdir(root)
  for (const folder of [sources, workFolder]) rmSync(folder, { recursive: true, force: true })
})

test('the README takes at most ten minutes to read', () => {
  expect(readFileSync('README.md', 'utf8').split(/\s+/).filter(Boolean).length).toBeLessThan(1_500)
})

test('every block of code passes the type check against the shipped types', () => {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const paths = {
    jobchart: ['./dist/index.d.ts'],
    'jobchart/*': ['./dist/*/index.d.ts'],
  }
  const { options } = ts.parseJsonConfigFileContent(
    { ...config, compilerOptions: { ...config.compilerOptions, paths }, files: [] },
    ts.sys,
    root,
  )
  const program = ts.createProgram(
    blocks.map(({ name }) => join(sources, `${name}.ts`)),
    options,
  )
  const found = ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line
    const text = ts.flattenDiagnosticMessageText(messageText, '\n')
    return `${file?.fileName.slice(sources.length + 1)}: ${file?.text.split('\n')[line]?.trim()}: ${text}`
  })
  expect(found).toEqual([])
})

describe('programs print what the page says', () => {
  test.each(programs)('$name', async ({ name, expected }) => {
    const lines: string[] = []
    const log = vi.spyOn(console, 'log').mockImplementation((...values) => {
      lines.push(format(...values))
    })
    try {
      process.chdir(mkdtempSync(join(workFolder, `${name}-`)))
      await import(pathToFileURL(join(sources, `${name}.ts`)).href)
    } finally {
      log.mockRestore()
      process.chdir(root)
    }
    expect(lines.join('\n')).toBe(expected)
  })

  test('each program says what it prints', () => {
    expect(programs.filter(({ expected }) => expected === undefined).map(({ name }) => name)).toEqual([])
    expect(programs.length).toBeGreaterThan(15)
  })
})

describe('links', () => {
  const { files } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly files: readonly string[] }
  const isShipped = (file: string) =>
    file === 'package.json' || files.some((entry) => file === entry || file.startsWith(`${entry}/`))

  test.each(pages)('in %s lead to files that ship and to headings that exist', (page) => {
    const wrong = linksOf(page).filter((link) => {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : normalize(join(dirname(page), path))
      if (!existsSync(target) || !isShipped(target)) return true
      return anchor !== undefined && !anchorsOf(target).includes(anchor)
    })
    expect(wrong).toEqual([])
  })

  test('lead to every guide from the README and from llms.txt', () => {
    for (const page of ['README.md', 'llms.txt']) {
      const linked = linksOf(page).map((link) => link.split('#')[0])
      expect(globSync('docs/*.md').filter((guide) => !linked.includes(guide))).toEqual([])
    }
  })
})

describe('lists', () => {
  test('the page of errors names exactly the codes that exist', () => {
    const codes = [...(readFileSync('src/model/error.ts', 'utf8').match(/(?<=^ {2}\| ')[A-Z_]+(?='$)/gm) ?? [])]
    const rows = [...(readFileSync('docs/errors.md', 'utf8').match(/(?<=^\| `)[A-Z_]+(?=` \|)/gm) ?? [])]
    expect(codes.length).toBeGreaterThan(15)
    expect(rows.sort()).toEqual(codes.sort())
  })

  test('the guide of events has a row for every event and for every reason of explain', () => {
    const reasons = readFileSync('src/engine/operations/explain.ts', 'utf8').match(/(?<=readonly kind: ')\w+/g)
    const events = readFileSync('src/model/event.ts', 'utf8').match(/(?<=^ {2}')\w+\.\w+(?=': 1)/gm)
    expect(Math.min(reasons?.length ?? 0, events?.length ?? 0)).toBeGreaterThan(10)
    const rows = namesInRows('docs/events.md')
    expect([...new Set([...(reasons ?? []), ...(events ?? [])])].filter((name) => !rows.includes(name))).toEqual([])
  })

  test('the guide of operations has a row for every option of createEngine', () => {
    const source = readFileSync('src/engine/options.ts', 'utf8')
    const [, body = ''] = /^const OPTIONS = \{([\s\S]*?)^\}/m.exec(source) ?? []
    const options = body.match(/(?<=^ {2})\w+(?=:)/gm) ?? []
    expect(options.length).toBeGreaterThan(10)
    const rows = namesInRows('docs/operations.md')
    // These options are the subject of the page itself, of every page, or of the tests.
    const others = ['storage', 'jobs', 'clock']
    expect(options.filter((name) => !rows.includes(name) && !others.includes(name))).toEqual([])
  })

  test('every invariant number cited in code is in docs/invariants.md', () => {
    const known = new Set(readFileSync('docs/invariants.md', 'utf8').match(/(?<=^\| )I\d+(?= \|)/gm))
    const cited = globSync(['src/**/*.ts', 'test/**/*.{ts,md}']).flatMap((file) => {
      return [...readFileSync(file, 'utf8').matchAll(/(?<!\w)I\d+\b/g)].map(([number]) => `${number} in ${file}`)
    })
    expect(cited.length).toBeGreaterThan(100)
    expect(cited.filter((each) => !known.has(each.split(' ')[0] ?? ''))).toEqual([])
  })

  test('the test files named in docs/invariants.md exist', () => {
    const named = readFileSync('docs/invariants.md', 'utf8').match(/\btest\/[\w/.-]+/g) ?? []
    expect(named.length).toBeGreaterThan(30)
    expect(named.filter((file) => !existsSync(file))).toEqual([])
  })
})

function blocksOf(page: string): Block[] {
  const text = readFileSync(page, 'utf8')
  const prelude = [...text.matchAll(/^<!-- prelude\n([\s\S]*?)^-->$/gm)].map(([, code]) => code).join('\n')
  const fences = [...text.matchAll(/^( *)```(.*)\n([\s\S]*?)^\1```$/gm)]
  return fences.flatMap(([, indent = '', info = '', code = ''], index) => {
    if (!/^ts\b/.test(info)) return []
    const isRun = info === 'ts run'
    const [, , next, output] = fences[index + 1] ?? []
    const own = code.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    return [
      {
        name: `${page.replace(/^docs\//, '').replace(/\.\w+$/, '')}-${index + 1}`,
        source: isRun ? own : fragment(prelude, own),
        isRun,
        expected: next === 'text' ? output?.trimEnd() : undefined,
      },
    ]
  })
}

/** A module with the names of the page and a piece of code, which may redefine some of them. */
function fragment(prelude: string, code: string): string {
  const imports = /^import .*$/gm
  return [...(code.match(imports) ?? []), prelude, ';{', code.replaceAll(imports, ''), '}', 'export {}', ''].join('\n')
}

/** The relative links of a page. */
function linksOf(page: string): string[] {
  const text = readFileSync(page, 'utf8').replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)].map(
    ([, link, other]) => link ?? other ?? '',
  )
  return links.filter((link) => !/^[a-z]+:/.test(link))
}

/** The names in the first cells of a page's tables. */
function namesInRows(page: string): string[] {
  const cells = readFileSync(page, 'utf8').match(/^\| `[^|]*/gm) ?? []
  return cells.flatMap((cell) => cell.match(/(?<=`)[\w.]+(?=`)/g) ?? [])
}

/** The anchors of a page's headings, as npm and GitHub make them. */
function anchorsOf(page: string): string[] {
  const headings = readFileSync(page, 'utf8').match(/^#+ .*/gm) ?? []
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
