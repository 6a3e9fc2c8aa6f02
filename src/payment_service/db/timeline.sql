-- name: timeline
-- Everything about a payment ($1) in one snapshot, in the order of (at, sort_key), after the cursor ($2, $3). Changes of one
-- transaction have the same time; `sort_key` puts causes before effects. No payloads.
SELECT at, sort_key, kind, entry::text
FROM (
    SELECT created_at AS at, '0' AS sort_key, 'order' AS kind,
           jsonb_build_object('order_id', order_id, 'payment_attempt', attempt, 'amount', in_major_units(amount, currency)::text, 'currency', currency,
                              'topic', order_topic, 'partition', order_partition, 'offset', order_offset) AS entry
    FROM payments
    WHERE id = $1
    UNION ALL
    SELECT c.created_at, '0:cancellation', 'cancellation',
           jsonb_build_object('reason', c.reason, 'outcome', c.outcome, 'finished_at', c.finished_at, 'topic', c.record_topic,
                              'partition', c.record_partition, 'offset', c.record_offset)
    FROM payments p
    JOIN order_cancellations c ON c.order_id = p.order_id
    WHERE p.id = $1
    UNION ALL
    SELECT at, '1:' || lpad(id::text, 19, '0'), 'request',
           jsonb_build_object('action', action, 'client', client, 'key_id', key_id, 'address', address, 'why', why, 'asked', detail)
    FROM audit
    WHERE payment_id = $1
    UNION ALL
    SELECT created_at, '2:' || lpad(position::text, 19, '0'), 'operation',
           jsonb_build_object('operation_id', id, 'operation', kind, 'cause', cause, 'state', state, 'attempts', attempt, 'epoch', epoch,
                              'outcome', coalesce(outcome, ''), 'code', coalesce(outcome_code, ''),
                              'detail', coalesce(outcome_detail, ''), 'provider_request_id', coalesce(provider_request_id, ''),
                              'due_at', CASE WHEN state = 'due' THEN due_at END, 'finished_at', finished_at)
    FROM operations
    WHERE payment_id = $1
    UNION ALL
    SELECT (a.attempt ->> 'at')::timestamptz, '3:' || lpad(o.position::text, 19, '0') || ':' || lpad(a.attempt ->> 'attempt', 10, '0'),
           'attempt', jsonb_build_object('operation_id', o.id, 'operation', o.kind) || a.attempt
    FROM operations o
    CROSS JOIN LATERAL jsonb_array_elements(o.attempts) AS a (attempt)
    WHERE o.payment_id = $1
    UNION ALL
    SELECT created_at, '4:' || id, 'webhook',
           jsonb_build_object('provider_event_id', provider_event_id, 'type', event_type, 'result', coalesce(result, ''),
                              'parked_reason', CASE WHEN NOT processed THEN coalesce(parked_reason, '') ELSE '' END,
                              'occurred_at', occurred_at, 'processed_at', processed_at)
    FROM payment_events
    WHERE payment_id = $1
    UNION ALL
    SELECT created_at, '5:' || lpad(id::text, 19, '0'), 'transition',
           jsonb_build_object('from_status', from_status, 'to_status', to_status, 'cause', cause, 'published_topic', published_topic,
                              'sequence', sequence, 'occurred_at', occurred_at)
    FROM payment_history
    WHERE payment_id = $1
    UNION ALL
    SELECT created_at, '4:' || (status = 'succeeded')::integer || left(name, 79), 'payment_attempt',
           jsonb_build_object('provider_charge_id', provider_charge_id, 'status', status, 'amount', in_major_units(amount, currency)::text,
                              'currency', currency, 'decline_code', decline_code, 'decline_reason', decline_reason,
                              'receipt_url', receipt_url, 'occurred_at', occurred_at,
                              'payment_method', jsonb_build_object('id', payment_method_id, 'type', payment_method_type, 'brand', card_brand,
                                                                   'last4', card_last4, 'funding', card_funding, 'country', card_country,
                                                                   'wallet', card_wallet))
    FROM payment_attempts
    WHERE payment_id = $1
    UNION ALL
    SELECT created_at, '6:' || id, 'refund',
           jsonb_build_object('refund_id', id, 'amount', in_major_units(amount, currency)::text, 'currency', currency, 'status', status,
                              'reason', reason, 'failure_code', failure_code, 'bank_reference', bank_reference,
                              'expected_at', CASE WHEN status IN ('pending', 'succeeded') THEN expected_at END, 'external', external, 'client', client,
                              'provider_refund_id', provider_refund_id, 'updated_at', updated_at)
    FROM refunds
    WHERE payment_id = $1
    UNION ALL
    SELECT created_at, '7:' || id, 'dispute',
           jsonb_build_object('dispute_id', id, 'amount', in_major_units(amount, currency)::text, 'currency', currency, 'status', status,
                              'reason', reason, 'evidence_due_by', evidence_due_at, 'provider_dispute_id', provider_dispute_id,
                              'updated_at', updated_at)
    FROM disputes
    WHERE payment_id = $1
    UNION ALL
    SELECT coalesce(l.published_at, o.created_at), '8:' || lpad(o.position::text, 19, '0'), 'record',
           jsonb_build_object('topic', o.type, 'sequence', o.sequence, 'ce_id', o.id, 'written_at', o.created_at,
                              'published_at', l.published_at, 'partition', l.partition, 'offset', l.record_offset,
                              'waiting', EXISTS (SELECT FROM outbox_pending p WHERE p.position = o.position),
                              'parked_reason', coalesce((SELECT h.reason FROM parked_aggregates h
                                                       WHERE h.aggregateid = $1 AND h.position = o.position), ''))
    FROM outbox o
    LEFT JOIN outbox_placements l ON l.position = o.position AND l.created_at = o.created_at
    WHERE o.aggregateid = $1
) e
WHERE (at, sort_key COLLATE "C") > ($2::timestamptz, $3::text COLLATE "C")
ORDER BY at, sort_key COLLATE "C"
LIMIT $4
