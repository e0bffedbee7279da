//! The suite that every backend passes: one case a rule of the traits, each on a fresh store.
//!
//! A backend's test file names a function that makes such a store, with something that keeps its surroundings alive:
//!
//! ```text
//! async fn fresh() -> (Arc<dyn Store>, TempDir) { … }
//! agentnet_store::contract_tests!(fresh);
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests, compiled into the library for other crates' tests"
)]

pub mod accounts;
pub mod blobs;
pub mod claims;
pub mod invites;
pub mod keys;
pub mod lifecycle;
pub mod mailbox_changes;
pub mod mailbox_counters;
pub mod mailbox_ends;
pub mod mailbox_lapses;
pub mod mailbox_leases;
pub mod mailbox_puts;
pub mod mailbox_told;
pub mod members;
pub mod messages;
pub mod pages;
pub mod registries;
pub mod retention;
pub mod sample;
pub mod sample_tasks;
pub mod sessions;
pub mod task_changes;
pub mod task_claims;
pub mod task_creation;
pub mod task_lists;
pub mod task_parts;
pub mod task_sweeps;
pub mod threads;
pub mod visibility;
pub mod visible_threads;

/// One `#[tokio::test]` for each case of the contract, against the stores that the function makes:
/// `async fn() -> (Arc<dyn Store>, impl Sized)`.
#[macro_export]
macro_rules! contract_tests {
    ($open:path) => {
        $crate::contract_cases! { contract_test $open }
    };
}

/// Calls a macro with the names of all cases.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($then:ident $($arguments:tt)*) => {
        $crate::$then! { ($($arguments)*)
            accounts: [
                search_text_is_literal
                search_ignores_case_beyond_ascii
                search_looks_at_both_names
                capability_filter_ignores_case_and_follows_the_profile
                accounts_are_paged_by_username
                account_texts_are_kept_exactly
                metadata_beyond_the_limit_is_refused
                accounts_above_a_bound_are_found
                names_and_capabilities_beyond_their_bounds_are_refused
                accounts_of_many_usernames
                accounts_of_many_ids
            ]
            blobs: [
                a_blob_grows_until_it_is_complete
                a_piece_is_added_once
                what_an_account_has_is_counted
                it_is_known_to_whom_a_blob_was_named
                one_account_names_a_blob_to_a_bounded_number
                old_blobs_are_found
            ]
            claims: [
                a_new_account_holds_what_was_claimed
                a_known_name_is_joined
                an_unknown_id_is_created_under_it
                an_unknown_id_with_a_taken_name_gets_a_variant
                a_known_id_keeps_its_name_unless_another_is_requested
                a_known_id_takes_a_free_name_but_no_taken_one
                generated_names_never_join
                concurrent_claims_of_one_name_make_one_account
                concurrent_generated_names_make_one_account_each
                claims_together_are_as_if_one_came_after_the_other
            ]
            invites: [
                an_invite_is_used_once
                concurrent_uses_of_an_invite_enrol_one
                concurrent_enrolments_share_no_nkey
                an_invite_that_does_not_fit_changes_nothing
                an_account_keeps_its_key_when_it_enrols
                a_member_that_is_revoked_while_it_enrols_is_revoked
                expired_invites_are_pruned
            ]
            keys: [
                a_key_is_bound_once
                a_key_mismatch_changes_nothing
                a_key_is_rotated_by_its_owner_alone
                what_is_signed_goes_with_the_key
            ]
            lifecycle: [
                an_open_store_answers
                a_closed_store_is_unavailable
                empty_batches_do_nothing
            ]
            mailbox_changes: [
                mailboxes_are_paged_in_their_order
                mailboxes_are_counted
                accounts_with_mail_come_by_id
                dead_messages_wait_again
                messages_are_dropped
                expired_messages_are_deleted
                messages_without_an_answer_are_buried
                ended_messages_are_pruned
            ]
            mailbox_counters: [
                counters_are_exact_after_concurrent_changes
                the_order_of_a_mailbox_is_that_of_the_commits
            ]
            mailbox_ends: [
                each_outcome_is_kept
                a_message_is_tried_so_many_times
                a_lost_lease_changes_nothing
                the_lease_in_force_counts
                leases_are_extended
            ]
            mailbox_lapses: [
                a_lapsed_message_comes_without_those_behind_it
                a_message_that_ends_its_sessions_dies_alone
                messages_that_come_alone_wait_for_each_other
                a_lapsed_lease_with_the_same_token_counts
            ]
            mailbox_leases: [
                messages_are_leased_in_order
                a_sender_waits_for_its_earlier_message
                a_lease_ends_by_itself
                an_expired_message_is_not_leased
                an_exclusive_lease_is_alone
                a_lease_of_a_registry_that_is_gone_is_over
                a_lease_is_bounded_in_bytes
                a_repeated_lease_gets_the_same_messages
                a_long_queue_of_one_sender_holds_no_other_up
                concurrent_leases_share_no_message
            ]
            mailbox_puts: [
                a_kept_message_comes_back_as_it_was
                a_known_message_is_not_kept_again
                an_id_of_another_sender_is_refused
                a_message_of_the_history_is_kept
                a_large_call_is_kept_in_its_order
                limits_count_the_call
                one_sender_fills_a_share_of_a_mailbox
                dead_letters_make_room
                a_message_for_no_account_is_refused
            ]
            mailbox_told: [
                ends_are_untold_until_they_are_told
                a_requeued_message_is_not_told
                ended_messages_are_remembered
                requeued_messages_keep_to_the_limits
            ]
            members: [
                an_invited_account_is_a_member
                a_later_invite_replaces_an_earlier_one
                concurrent_invitations_make_one_member
                a_revoked_member_has_no_key
                rights_are_granted_and_taken
                members_are_paged_by_account
                a_member_goes_by_the_name_of_its_account
                credentials_of_revoked_and_limited_members_are_void
            ]
            messages: [
                a_message_comes_back_as_it_was
                payload_text_is_kept_byte_for_byte
                texts_may_hold_nul
                the_first_of_two_with_one_id_is_kept
                a_repeated_id_still_creates_the_thread_it_names
                a_large_batch_is_stored_whole
                known_messages_lie_among_new_ones
            ]
            pages: [
                newest_first_with_ties_by_id
                filters_are_exact_and_combine
                time_bounds_are_inclusive
                pages_stay_true_while_messages_arrive
                a_walk_through_ten_thousand_messages_sees_each_once
                threads_come_by_last_activity
                threads_of_a_participant_follow_every_message
                thread_search_is_literal_and_ignores_case
            ]
            registries: [
                a_database_keeps_its_id
                a_registry_is_there_until_it_stops_or_falls_silent
                the_keys_of_registries_are_known
            ]
            retention: [
                sessions_that_ended_are_pruned
                threads_are_pruned_oldest_first_with_their_messages
                a_pruned_thread_can_begin_anew
            ]
            sessions: [
                a_session_comes_back_as_it_was
                a_known_session_is_replaced_but_keeps_its_beginning
                last_seen_only_moves_forward
                a_session_ends_once
                online_sessions_come_by_tag
                session_metadata_beyond_the_limit_is_refused
                what_a_session_signs_is_kept
            ]
            task_changes: [
                changes_are_applied_in_their_order
                every_member_of_a_change_is_kept
                a_repeated_end_is_known_after_the_next_attempt
                a_message_counts_once
                a_repeated_request_has_one_effect
                a_lost_task_lease_changes_nothing
                a_large_call_changes_all
                concurrent_ends_are_one
            ]
            task_claims: [
                tasks_are_claimed_in_their_order
                a_task_is_claimed_by_whom_it_is_for
                one_task_is_claimed_by_its_id
                a_task_that_is_over_is_not_claimed
                a_repeated_claim_gets_the_same_tasks
                concurrent_claims_with_one_token_are_one
                tokens_are_told_apart
                concurrent_claims_share_no_task
            ]
            task_creation: [
                a_task_comes_back_as_it_was
                a_task_is_made_once
                open_tasks_are_limited
                a_part_needs_its_parent
                a_task_that_no_index_holds_is_refused
                a_large_call_creates_all
                concurrent_requests_make_one_task
            ]
            task_lists: [
                tasks_come_by_their_last_change
                filters_of_tasks_combine
                parts_are_counted
                events_come_in_their_order
                tasks_are_counted_by_state
            ]
            task_parts: [
                parts_are_counted_as_they_end_and_begin_anew
                a_canceled_task_gets_no_parts
                parts_are_pruned_before_their_parent
                concurrent_ends_of_parts_are_counted
            ]
            task_sweeps: [
                what_is_over_is_noticed
                a_sweep_is_bounded
                concurrent_sweeps_end_each_task_once
                old_tasks_are_pruned
                a_task_that_goes_on_is_not_pruned
            ]
            threads: [
                counters_are_sums_and_maxima
                participants_are_trimmed_and_sorted
                participants_are_bounded
                the_first_message_makes_the_thread
                counters_stop_at_the_largest_number
                concurrent_batches_count_exactly
            ]
            visibility: [
                messages_are_seen_by_sender_and_receiver
                a_thread_id_gives_no_sight_of_the_thread
                messages_without_an_issuer_are_seen_by_their_receiver
            ]
            visible_threads: [
                threads_are_seen_by_their_visible_messages
                views_follow_mailboxes_and_retention
                views_are_bounded
                concurrent_batches_count_exactly_for_each_account
            ]
        }
    };
}

/// Writes the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_test {
    (($open:path) $($module:ident: [$($case:ident)*])*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let (store, _surroundings) = $open().await;
                $crate::contract::$module::$case(std::sync::Arc::clone(&store)).await;
                store.close().await;
            }
        )*)*
    };
}

/// Lists the names.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_names {
    (() $($module:ident: [$($case:ident)*])*) => {
        [$((stringify!($module), &[$(stringify!($case)),*] as &[&str])),*]
    };
}

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let sources = [
            ("accounts", include_str!("accounts.rs")),
            ("blobs", include_str!("blobs.rs")),
            ("claims", include_str!("claims.rs")),
            ("invites", include_str!("invites.rs")),
            ("keys", include_str!("keys.rs")),
            ("lifecycle", include_str!("lifecycle.rs")),
            ("mailbox_changes", include_str!("mailbox_changes.rs")),
            ("mailbox_counters", include_str!("mailbox_counters.rs")),
            ("mailbox_ends", include_str!("mailbox_ends.rs")),
            ("mailbox_lapses", include_str!("mailbox_lapses.rs")),
            ("mailbox_leases", include_str!("mailbox_leases.rs")),
            ("mailbox_puts", include_str!("mailbox_puts.rs")),
            ("mailbox_told", include_str!("mailbox_told.rs")),
            ("members", include_str!("members.rs")),
            ("messages", include_str!("messages.rs")),
            ("pages", include_str!("pages.rs")),
            ("registries", include_str!("registries.rs")),
            ("retention", include_str!("retention.rs")),
            ("sessions", include_str!("sessions.rs")),
            ("task_changes", include_str!("task_changes.rs")),
            ("task_claims", include_str!("task_claims.rs")),
            ("task_creation", include_str!("task_creation.rs")),
            ("task_lists", include_str!("task_lists.rs")),
            ("task_parts", include_str!("task_parts.rs")),
            ("task_sweeps", include_str!("task_sweeps.rs")),
            ("threads", include_str!("threads.rs")),
            ("visibility", include_str!("visibility.rs")),
            ("visible_threads", include_str!("visible_threads.rs")),
        ];
        let listed = contract_cases! { contract_names };
        for ((module, cases), (file, source)) in listed.into_iter().zip(sources) {
            assert_eq!(module, file);
            let written: Vec<&str> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
                .collect();
            assert_eq!(written, cases, "{module}");
        }
    }
}
