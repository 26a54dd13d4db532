//! The tables of `migrations/`, as diesel sees them. Column meanings stand in the SQL.
#![expect(
    missing_docs,
    reason = "diesel's table! makes items that cannot carry documentation"
)]

diesel::table! {
    installation (id) {
        id -> Integer,
        created_at -> BigInt,
        key_fingerprint -> Text,
        revision -> BigInt,
        revision_id -> Text,
        dormancy_told_at -> BigInt,
        dormancy_told_of -> BigInt,
    }
}

diesel::table! {
    probe (id) {
        id -> Integer,
        padding -> Text,
    }
}

diesel::table! {
    change (seq) {
        seq -> BigInt,
        kind -> Text,
        subject -> Text,
        purge_at -> BigInt,
        id -> Text,
    }
}

diesel::table! {
    agency (id) {
        id -> Text,
        name -> Text,
        settings -> Text,
        enabled -> Bool,
        generation -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    resource_server (id) {
        id -> Text,
        name -> Text,
        settings -> Text,
        enabled -> Bool,
        generation -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    client (id) {
        id -> Text,
        name -> Text,
        settings -> Text,
        enabled -> Bool,
        generation -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    client_secret (id) {
        id -> Text,
        owner_id -> Text,
        hash -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    person (id) {
        id -> Text,
        username -> Text,
        username_key -> Text,
        name -> Text,
        password -> Nullable<Text>,
        totp_secret -> Nullable<Text>,
        totp_step -> BigInt,
        settings -> Text,
        enabled -> Bool,
        generation -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        password_changed_at -> BigInt,
        last_login_at -> Nullable<BigInt>,
        idle_since -> BigInt,
        name_key -> Text,
    }
}

diesel::table! {
    person_role (person_id, role) {
        person_id -> Text,
        role -> Text,
        name_key -> Text,
        given_at -> BigInt,
    }
}

diesel::table! {
    person_term (person_id, term) {
        person_id -> Text,
        term -> Text,
    }
}

diesel::table! {
    first_link (hash) {
        hash -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
        purge_at -> BigInt,
    }
}

diesel::table! {
    vendor_link (client_id) {
        client_id -> Text,
        hash -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        purge_at -> BigInt,
    }
}

diesel::table! {
    login_failure (subject) {
        subject -> Text,
        failures -> BigInt,
        window_started_at -> BigInt,
        locked_until -> BigInt,
        purge_at -> BigInt,
        consecutive -> BigInt,
    }
}

diesel::table! {
    session (id) {
        id -> Text,
        hash -> Text,
        person_id -> Text,
        person_generation -> BigInt,
        created_at -> BigInt,
        auth_time -> BigInt,
        last_seen_at -> BigInt,
        acr -> Text,
        amr -> Text,
        second_factor_due -> Bool,
        identity_provider -> Nullable<Text>,
        address -> Text,
        user_agent -> Text,
        totp_set_up -> Nullable<Text>,
        recovery_nonce -> Nullable<Text>,
        ended_at -> Nullable<BigInt>,
        purge_at -> BigInt,
        second_factor_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    passkey (id) {
        id -> Text,
        person_id -> Text,
        name -> Text,
        credential -> Text,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    recovery_code (hash) {
        hash -> Text,
        person_id -> Text,
        created_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    password_history (id) {
        id -> Text,
        person_id -> Text,
        password -> Text,
        replaced_at -> BigInt,
    }
}

diesel::table! {
    link (hash) {
        hash -> Text,
        kind -> Text,
        person_id -> Text,
        person_generation -> BigInt,
        created_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
        purge_at -> BigInt,
    }
}

diesel::table! {
    identity_provider (id) {
        id -> Text,
        name -> Text,
        settings -> Text,
        secret -> Nullable<Text>,
        enabled -> Bool,
        generation -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    linked_identity (provider_id, subject) {
        provider_id -> Text,
        subject -> Text,
        person_id -> Text,
        linked_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    logout_notice (id) {
        id -> Text,
        client_id -> Text,
        person_id -> Text,
        session_id -> Text,
        attempts -> BigInt,
        next_at -> BigInt,
        purge_at -> BigInt,
    }
}

diesel::table! {
    consent (person_id, client_id) {
        person_id -> Text,
        client_id -> Text,
        person_generation -> BigInt,
        client_generation -> BigInt,
        resource_server -> Nullable<Text>,
        purposes -> Text,
        scope -> Text,
        updated_at -> BigInt,
        claims -> Text,
    }
}

diesel::table! {
    grants (id) {
        id -> Text,
        client_id -> Text,
        person_id -> Text,
        client_generation -> BigInt,
        person_generation -> BigInt,
        facts -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        purge_at -> BigInt,
        session_id -> Nullable<Text>,
    }
}

diesel::table! {
    authorization_code (hash) {
        hash -> Text,
        grant_id -> Text,
        redirect_uri -> Text,
        code_challenge -> Nullable<Text>,
        expires_at -> BigInt,
        redeemed_at -> Nullable<BigInt>,
        purge_at -> BigInt,
    }
}

diesel::table! {
    refresh_token (hash) {
        hash -> Text,
        grant_id -> Text,
        generation -> BigInt,
        nonce -> Text,
        answered_scope -> Text,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
        purge_at -> BigInt,
    }
}

diesel::table! {
    opaque_token (hash) {
        hash -> Text,
        claims -> Text,
        purge_at -> BigInt,
    }
}

diesel::table! {
    assertion_jti (hash) {
        hash -> Text,
        purge_at -> BigInt,
    }
}

diesel::table! {
    signing_key (kid) {
        kid -> Text,
        algorithm -> Text,
        private_key -> Text,
        public_jwk -> Text,
        created_at -> BigInt,
        signs_from -> BigInt,
        retires_at -> Nullable<BigInt>,
        purge_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit_log (id) {
        id -> Integer,
        origin -> Text,
        size -> BigInt,
        opened_at -> BigInt,
        closed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit_event (id) {
        id -> BigInt,
        at_ms -> BigInt,
        kind -> Text,
        outcome -> Text,
        client_id -> Nullable<Text>,
        person_id -> Nullable<Text>,
        by_person -> Nullable<Text>,
        body -> Text,
        leaf -> Binary,
    }
}

diesel::table! {
    audit_node (log, level, number) {
        log -> Integer,
        level -> Integer,
        number -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    audit_checkpoint (log, size) {
        log -> Integer,
        size -> BigInt,
        note -> Text,
    }
}

diesel::table! {
    audit_bundle (id) {
        id -> BigInt,
        at_ms -> BigInt,
        note -> Text,
    }
}

diesel::table! {
    audit_key (id) {
        id -> Integer,
        public_key -> Text,
        private_key -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    activity_position (log) {
        log -> Integer,
        seq -> BigInt,
    }
}

diesel::table! {
    activity (hour, what, reason) {
        hour -> BigInt,
        what -> Text,
        reason -> Text,
        count -> BigInt,
        purge_at -> BigInt,
    }
}

diesel::table! {
    client_activity (client_id) {
        client_id -> Text,
        last_token_at -> Nullable<BigInt>,
        last_failure_at -> Nullable<BigInt>,
        last_failure -> Nullable<Text>,
        last_introspection_at -> Nullable<BigInt>,
        noted_log -> Integer,
        noted_seq -> BigInt,
    }
}

diesel::table! {
    api_token (id) {
        id -> Text,
        name -> Text,
        hash -> Text,
        role -> Text,
        created_by -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        person_id -> Nullable<Text>,
    }
}

diesel::table! {
    idempotency (key) {
        key -> Text,
        request -> Text,
        status -> Integer,
        answer -> Text,
        purge_at -> BigInt,
    }
}

diesel::joinable!(authorization_code -> grants (grant_id));
diesel::joinable!(refresh_token -> grants (grant_id));
diesel::joinable!(session -> person (person_id));
diesel::joinable!(person_role -> person (person_id));
diesel::joinable!(person_term -> person (person_id));
diesel::allow_tables_to_appear_in_same_query!(
    installation,
    change,
    resource_server,
    client,
    client_secret,
    person,
    person_role,
    person_term,
    first_link,
    vendor_link,
    login_failure,
    session,
    passkey,
    recovery_code,
    password_history,
    link,
    identity_provider,
    linked_identity,
    logout_notice,
    consent,
    grants,
    authorization_code,
    refresh_token,
    opaque_token,
    assertion_jti,
    signing_key,
    audit_log,
    audit_event,
    audit_node,
    audit_checkpoint,
    audit_bundle,
    audit_key,
    activity_position,
    activity,
    client_activity,
    api_token,
    idempotency
);
