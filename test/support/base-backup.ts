/**
 * A base backup of an embedded Postgres while it runs, as `pg_basebackup` takes one: the embedded server comes without that program,
 * and with neither pg_dump. What is copied is the data directory between the start and the stop of a backup, and then the log.
 */
import { execFile } from 'node:child_process'
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { Client } from 'pg'

const run = promisify(execFile)

/**
 * Shape: a data directory that `startEmbeddedServers` starts from, as the database was at about the end of the backup. Its name is
 *        one that the sweep of a later run knows.
 */
export async function takeBaseBackup(databaseUrl: string): Promise<{ dataDirectory: string }> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { rows: settings } = await client.query<{ data: string }>(
      `select current_setting('data_directory') as data`,
    )
    const from = settings[0]?.data ?? ''
    const dataDirectory = await mkdtemp(join(tmpdir(), `voice-wallet-test-${process.pid}-`))
    const data = join(dataDirectory, 'postgres')
    // The same connection from start to stop: a backup ends with the session that began it.
    await client.query(`select pg_backup_start('restore drill', fast => true)`)
    await run('cp', ['-a', from, data])
    const { rows } = await client.query<{ labelfile: string }>(
      'select labelfile from pg_backup_stop(wait_for_archive => false)',
    )
    // The log up to the stop is what makes the copy whole, so it is copied after it.
    await rm(join(data, 'pg_wal'), { recursive: true })
    await run('cp', ['-a', join(from, 'pg_wal'), data])
    await rm(join(data, 'postmaster.pid'), { force: true })
    const label = join(data, 'backup_label')
    await writeFile(label, rows[0]?.labelfile ?? '')
    const owner = await stat(from)
    await chown(label, owner.uid, owner.gid)
    await run('cp', ['-a', join(dirname(from), 'postgres.password'), dataDirectory])
    return { dataDirectory }
  } finally {
    await client.end()
  }
}
