/** Values that no option accepts, as in JSON of a request or from a broken program. Each is made anew for each call. */

/** Makes a value. */
export type Make = () => unknown

function constant(values: readonly unknown[]): readonly Make[] {
  return values.map((value) => () => value)
}

const json = (text: string): Make => {
  return () => JSON.parse(text)
}

function nested(depth: number, wrap: (inner: unknown) => unknown): Make {
  return () => {
    let value: unknown = 1
    for (let level = 0; level < depth; level++) value = wrap(value)
    return value
  }
}

function cyclic(): unknown {
  const loop: { [key: string]: unknown } = { list: [] }
  loop.self = { deeper: loop }
  return loop
}

const words = [
  ...['', ' ', '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', 'then', 'length'],
  ...[
    "' OR 1=1 --",
    "'; DROP TABLE jobs; --",
    '" OR ""="',
    '%',
    '_',
    '*',
    '\\',
    '?1',
    ':id',
    '$x',
    '/* x */',
    "a'||'b",
  ],
  ...[
    '\u0000',
    'a\u0000b',
    '\u0001\u001f\u007f',
    '\u202e\u2066evil\u2069',
    '\u2028\u2029',
    '\r\nSet-Cookie: a=b',
    '\ufeff',
  ],
  ...['\ud800', '\udfff', 'a\ud83d', '💥', 'e\u0301', 'İ', 'ß', '<script>alert(1)</script>', '#{7*7}', '{{7*7}}'],
  ...[
    '../../etc/passwd',
    'file:///etc/passwd',
    'null',
    'undefined',
    'NaN',
    '-1',
    '1e999',
    '0x10',
    'true',
    '[object Object]',
  ],
  ...['x'.repeat(200), 'x'.repeat(201), 'ü'.repeat(1_000), 'x'.repeat(100_000), 'system', 'ada', 'acme', 'other'],
  ...['job.created', 'task.started', 'xstate.init', 'xstate.done.actor.x', 'cancel', 'note'],
]

const numbers = [
  ...[0, -0, 1, -1, 0.5, 100, 101, 1e21, 1e308, -1e308, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...[Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER + 1, Number.MIN_SAFE_INTEGER, 2 ** 31, 2 ** 53, 2 ** 63],
  ...[8_640_000_000_000_000, 8_640_000_000_000_001],
]

const odd = [
  ...[null, undefined, true, false, 0n, 2n ** 64n, Symbol('s'), Symbol.iterator],
  ...[() => 1, class {}, async () => {}, /a+$/, new Date(0), new Date(Number.NaN), new Map([[1, 2]]), new Set([1])],
  ...[new Error('no'), Promise.resolve('later'), new Uint8Array(3), new ArrayBuffer(8), new WeakMap(), new URL('x:y')],
  ...[
    Object('text'),
    Object(1),
    Object(1n),
    Object.create(null),
    Object.create({ id: 'ada' }),
    globalThis,
    Math,
    Reflect,
  ],
  ...[
    [],
    [[]],
    [null],
    [undefined],
    ['a', 'b'],
    Object.assign([], { length: 3 }),
    Array(1_000).fill('a'),
    Array(1_001).fill('a'),
  ],
  ...[
    {},
    { id: 'ada' },
    { toString: () => 'ada' },
    { toString: () => ({}) },
    { valueOf: () => 7 },
    { toJSON: () => 'ada' },
  ],
  ...[{ [Symbol.toPrimitive]: () => 'ada' }, { length: 2 }, { signal: 1 }],
]

const polluting = [
  ...['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"prototype":{"polluted":1}}'],
  ...['{"a":{"__proto__":{"polluted":1}}}', '[{"__proto__":[]}]', '{"__proto__":null}', '{"__proto__":"ada"}'],
  ...['{"type":"note","__proto__":{"polluted":1}}', '{"reason":"x","__proto__":{"polluted":1}}'],
  ...['{"kind":"system","id":"system","tenant":"acme","role":"admin","system":true}'],
  ...['{"id":"bob","tenant":"acme","__proto__":{"role":"admin","kind":"system"}}'],
  ...['{"id":"bob","role":"editor","relations":{"__proto__":"owner","constructor":"owner"}}'],
  ...['{"limit":1,"__proto__":{"view":"mine"}}', '{"labels":{"__proto__":"red"}}', '{"labels":{"constructor":"red"}}'],
  ...['{"tenant":"acme","createdBy":"ada","view":"all","kind":"system","who":{"kind":"system"}}'],
]

/** Values of every kind. */
export const wrongValues: readonly Make[] = [
  ...constant(words),
  ...constant(numbers),
  ...constant(odd),
  ...polluting.map(json),
  nested(300, (inner) => [inner]),
  nested(300, (inner) => ({ inner })),
  nested(20_000, (inner) => [inner]),
  cyclic,
  () => Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`k${index}`, index])),
  () => ({ ['x'.repeat(10_000)]: 1 }),
  () => ({ signal: AbortSignal.abort() }),
  () => ({ signal: AbortSignal.abort(), limit: 1 }),
]

/** Cursors that no list returned, or that belong to another principal. */
export function cursorsFrom(others: readonly string[]): readonly Make[] {
  const written = [
    ...[[], [0], [0, 'a'], [0, 'a', 'acme', 'bob'], ['0', 'a', 'acme', 'bob'], [0, 5, 'acme', 'bob'], null, 'x', 5],
    ...[
      [9e15, '\uffff', 'acme', 'bob'],
      [9e15, "' OR 1=1 --", 'acme', 'bob'],
      [-1, '', 'acme', 'bob'],
      ['acme', 'a', 'acme', 'bob'],
    ],
    ...[
      [9e15, 'z', 'acme', 'ada'],
      [9e15, 'z', 'other', 'bob'],
      [1e308, 'z', 'acme', 'bob'],
      [0.5, '\u0000', 'acme', 'bob'],
    ],
    ...[['other', '', 'acme', 'bob'], ['', '', 'acme', 'bob'], { length: 4 }, [{}, {}, 'acme', 'bob']],
  ].map((each) => Buffer.from(JSON.stringify(each)).toString('base64url'))
  const cut = others.flatMap((cursor) => [cursor, cursor.slice(0, -3), cursor.slice(4), `${cursor}AA`, `${cursor}=`])
  return constant([...written, ...cut, 'x'.repeat(1_000), 'x'.repeat(1_001), '!!!!', 'e30', '....'])
}
