import { sql, type Kysely } from 'kysely'

/**
 * Who may do what. Processes connect as a login role that is a member of these and take the role at the start of the
 * connection. Roles belong to the whole server, so they may be there already from another database.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const role of ['wallet_worker', 'wallet_auditor']) {
    // Two databases of one server may migrate at once: whoever comes second finds the role there.
    await sql`
      do $$ begin
        create role ${sql.id(role)} nologin;
      exception when duplicate_object or unique_violation then null;
      end $$`.execute(db)
    await sql`
      do $$ begin
        execute format('grant %I to %I', ${sql.lit(role)}, current_user);
      exception when others then
        if not pg_has_role(current_user, ${sql.lit(role)}, 'member') then raise; end if;
      end $$`.execute(db)
    await sql`grant usage on schema public to ${sql.id(role)}`.execute(db)
    await sql`grant select on all tables in schema public to ${sql.id(role)}`.execute(db)
  }

  // The worker appends to the books and moves balances. It cannot rewrite history even where no trigger stands.
  const worker = sql.id('wallet_worker')
  await sql`grant insert on workspace, wallet, ledger_transaction, posting, usage_event, staged_job to ${worker}`.execute(
    db,
  )
  await sql`grant update (balance_micros, sequence, head_hash) on wallet to ${worker}`.execute(db)
  await sql`grant update (key, state, reason, detail, decided_at) on usage_event to ${worker}`.execute(db)
  await sql`grant delete on staged_job to ${worker}`.execute(db)
  await sql`grant insert, update on heartbeat to ${worker}`.execute(db)
}
