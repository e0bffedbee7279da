-- What schema 4 of PostgreSQL adds to postgres_schema3.sql: its migration as that version ran it, and what a registry wrote then.
INSERT INTO public.agentnet_schema_versions (version, description, installed_on, success, checksum, execution_time) VALUES (4, 'registries', '2026-12-02 09:14:07.101192+00', true, '\x612b92cb241fc95557830e24bab3672361e320510f5c67f69623af1db63f93a2a9780cd5a44bcac0e9a815e44ad9c417', 612004);
CREATE TABLE public.agentnet_database (
    id text NOT NULL
);
INSERT INTO public.agentnet_database (id) VALUES ('5b0c1a83f2d04e6f9a7c8d1e2f304152');
CREATE TABLE public.agentnet_registries (
    number text NOT NULL,
    server_id text NOT NULL,
    announce_key text NOT NULL,
    beat_at timestamp with time zone NOT NULL
);
INSERT INTO public.agentnet_registries (number, server_id, announce_key, beat_at) VALUES ('0000000000000007', 'registry', 'key', '2026-12-02 09:14:07+00');
ALTER TABLE ONLY public.agentnet_database
    ADD CONSTRAINT agentnet_database_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.agentnet_registries
    ADD CONSTRAINT agentnet_registries_pkey PRIMARY KEY (number);
