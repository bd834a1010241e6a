DROP FUNCTION cancel_step_sends, resolve_send, finish_send, switch_off_after_message_faults, end_enrolment,
    mark_transmitting, release_claim, renew_claim, claim_send, park_after_unknowns, park_mailbox, record_event,
    next_free_place, closed_gate, send_gates, address_hmac;
DROP FUNCTION touch_updated CASCADE;
