import { sql, type Kysely } from 'kysely'

/**
 * One function for the time that the books are dated by. It is the database's clock, unless the session's setting
 * `wallet.clock` says otherwise, as in a demo that shows a year in six minutes or a test that lets a month pass.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // `<instant it showed>/<real instant at which it showed that>/<rate>`, in UTC; the rate is how many seconds pass in one.
  // An interval of seconds, not of days: a day of an interval may have 23 hours where the session's time zone says so.
  await sql`
    create function moved_clock(setting text) returns timestamptz language plpgsql volatile strict as $$
    declare
      part text[] := string_to_array(setting, '/');
    begin
      if cardinality(part) <> 3 or part[1] !~ '^[-0-9]{10}T[:0-9]{8}([.][0-9]{1,3})?Z$'
        or part[2] !~ '^[-0-9]{10}T[:0-9]{8}([.][0-9]{1,3})?Z$' or part[3] !~ '^[1-9][0-9]{0,5}$'
        or not pg_input_is_valid(part[1], 'timestamptz') or not pg_input_is_valid(part[2], 'timestamptz')
      then
        raise invalid_parameter_value using
          message = format('wallet.clock is %L, which is no clock', setting),
          hint = 'Expected <instant it showed>/<real instant>/<rate>, such as '
            '2026-01-31T09:00:00Z/2026-11-26T14:00:00.000Z/86400. In production it is not set.';
      end if;
      return date_trunc('milliseconds', part[1]::timestamptz + make_interval(secs =>
        part[3]::float8 * extract(epoch from clock_timestamp() - part[2]::timestamptz)::float8));
    end $$`.execute(db)

  // Plain SQL, so that Postgres puts its body where it is called: unset, it costs a look at the setting.
  await sql`
    create function wallet_now() returns timestamptz language sql volatile
    return case
      when coalesce(current_setting('wallet.clock', true), '') = '' then date_trunc('milliseconds', clock_timestamp())
      else moved_clock(current_setting('wallet.clock', true))
    end`.execute(db)

  // What waits for one of our processes keeps the machine's clock: staged_job, paddle_event, idempotent_request, usage_event.
  await sql`
    alter table workspace alter column created_at set default wallet_now();
    alter table rate_card alter column created_at set default wallet_now();
    alter table workspace_rate alter column created_at set default wallet_now();
    alter table paddle_customer alter column created_at set default wallet_now();
    alter table saved_card alter column created_at set default wallet_now();
    alter table auto_recharge alter column changed_at set default wallet_now();
    alter table audit_log alter column happened_at set default wallet_now();
    alter table api_key alter column created_at set default wallet_now()`.execute(db)
}
