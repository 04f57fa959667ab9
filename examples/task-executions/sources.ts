import { readFile } from 'node:fs/promises'
import { parse } from 'csv-parse/sync'

/** A row as it stands in the warehouse. */
export type Row = readonly (string | number)[]

/** What is read of a file of the `vega-datasets` package, and what it becomes. */
export interface Source {
  readonly file: string
  readonly columns: string
  /** A line of the file as a row of the table; undefined: it is rejected. */
  readonly row: (line: Line) => Row | undefined
}

type Line = { readonly [column: string]: string | number | undefined }

/** The sources, each by the name of its pipeline and of its table. */
export const sources: { readonly [name: string]: Source } = {
  weather: {
    file: 'seattle-weather.csv',
    columns: 'day text, rain_mm real, max_celsius real, min_celsius real, weather text',
    row: ({ date = '', precipitation, temp_max, temp_min, weather = '' }) =>
      finite(date, Number(precipitation), Number(temp_max), Number(temp_min), weather),
  },
  flights: {
    file: 'flights-20k.json',
    columns: 'departed_at text, delay_minutes integer, distance_miles integer, origin text, destination text',
    row: ({ date = '', delay, distance, origin = '', destination = '' }) =>
      finite(`${date}`.replaceAll('/', '-'), Number(delay), Number(distance), origin, destination),
  },
  strikes: {
    file: 'birdstrikes.csv',
    columns: 'airport text, day text, species text, dollars integer, knots integer',
    // Many pilots have not written down how fast they were.
    row: (line) =>
      line['Speed IAS in knots'] === ''
        ? undefined
        : finite(
            line['Airport Name'] ?? '',
            line['Flight Date'] ?? '',
            line['Wildlife Species'] ?? '',
            Number(line['Cost Total $']),
            Number(line['Speed IAS in knots']),
          ),
  },
  moons: { file: 'moons.csv', columns: 'name text', row: ({ name = '' }) => [name] },
}

/**
 * Reads the lines of a source.
 *
 * @throws {Error}  there is no such file.
 */
export async function readSource({ file }: Source): Promise<readonly Line[]> {
  // The package's exports hide the data folder, so the way there goes by its entry.
  const url = new URL(`../data/${file}`, import.meta.resolve('vega-datasets'))
  const text = await readFile(url, 'utf8').catch((cause: unknown) => {
    throw new Error(`vega-datasets has no file "${file}"`, { cause })
  })
  // Both were made for programs to read: a list of flat objects.
  return file.endsWith('.json') ? JSON.parse(text) : parse(text, { columns: true })
}

function finite(...row: Row): Row | undefined {
  return row.every((value) => typeof value === 'string' || Number.isFinite(value)) ? row : undefined
}
