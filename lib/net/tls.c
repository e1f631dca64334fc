/*
 * The BIO is a pair of calls into whoever carries the bytes, so that no memory BIO holds buffers of
 * its own: 18,000 idle TLS sessions would pay for two each.
 */
#include "lib/net/tls.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/base/ip.h"

struct tls_context {
	SSL_CTX *
		*contexts; /* owned; a server has one for each identity, the first is the default */
	size_t count;
	BIO_METHOD *bio; /* owned */
	const struct tls_wire *wire;
	bool verify;
};

void tls_error_text(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	err_set(err, "%s: %s", what, reason ? reason : "no reason given");
	ERR_clear_error();
}

/* --- the BIO --- */

struct wire_bio {
	const struct tls_context *context;
	void *wire;
};

static int wire_read(BIO *bio, char *out, int size)
{
	struct wire_bio *data = BIO_get_data(bio);
	size_t taken = data->context->wire->read(data->wire, out, (size_t)size);

	BIO_clear_retry_flags(bio);
	if (taken == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	return (int)taken;
}

static int wire_write(BIO *bio, const char *bytes, int size)
{
	struct wire_bio *data = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	data->context->wire->write(data->wire, span_make(bytes, (size_t)size));
	return size;
}

static long wire_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static int wire_destroy(BIO *bio)
{
	free(BIO_get_data(bio));
	BIO_set_data(bio, NULL);
	return 1;
}

static BIO_METHOD *bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

	ENSURE(method);
	BIO_meth_set_read(method, wire_read);
	BIO_meth_set_write(method, wire_write);
	BIO_meth_set_ctrl(method, wire_ctrl);
	BIO_meth_set_destroy(method, wire_destroy);
	return method;
}

/* --- contexts --- */

static SSL_CTX *ssl_ctx_new(const SSL_METHOD *method, int minimum_version)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	ENSURE(ctx);
	SSL_CTX_set_min_proto_version(ctx, minimum_version);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* Buffers are given back between records: an idle connection holds none. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 0);
	return ctx;
}

static BIO *bio_of(struct span pem)
{
	BIO *bio = pem.len < INT_MAX ? BIO_new_mem_buf(pem.at, (int)pem.len) : NULL;

	ENSURE(bio);
	return bio;
}

static int no_passphrase(char *out, int size, int writing, void *context)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

/* The leaf, then what follows it as chain. */
static bool load_chain(SSL_CTX *ctx, const struct tls_identity *identity, struct err *err)
{
	BIO *bio = bio_of(identity->chain);
	X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL), *ca;
	bool ok = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1;

	X509_free(leaf);
	while (ok && (ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
		if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
			X509_free(ca);
			ok = false;
		}
	}
	BIO_free(bio);
	if (!ok) {
		tls_error_text(err, identity->name);
		return false;
	}
	ERR_clear_error();
	return true;
}

static bool load_key(SSL_CTX *ctx, const struct tls_identity *identity, struct err *err)
{
	BIO *bio = bio_of(identity->key);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	bool ok =
		key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	if (!ok) {
		struct err reason;

		tls_error_text(&reason, key ? "does not fit the certificate" : "can't be read");
		return err_set(err, "the key of %s %s", identity->name, reason.text);
	}
	return true;
}

/* SNI (RFC 6066 3): the first identity whose certificate has the name, else the default. */
static int choose_identity(SSL *ssl, int *alert, void *argument)
{
	struct tls_context *context = argument;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (!name)
		return SSL_TLSEXT_ERR_OK;
	for (size_t i = 0; i < context->count; i++) {
		X509 *leaf = SSL_CTX_get0_certificate(context->contexts[i]);

		if (leaf && X509_check_host(leaf, name, 0, 0, NULL) == 1) {
			SSL_set_SSL_CTX(ssl, context->contexts[i]);
			break;
		}
	}
	return SSL_TLSEXT_ERR_OK;
}

static struct tls_context *context_new(size_t count)
{
	struct tls_context *context = memory_zeroed(sizeof(*context));

	context->contexts = memory_zeroed(count * sizeof(SSL_CTX *));
	context->bio = bio_method_new();
	return context;
}

struct tls_context *tls_context_server(const struct tls_identity *identities, size_t count,
	int minimum_version, const uint8_t *ticket_keys, struct err *err)
{
	struct tls_context *context = context_new(count);
	static const unsigned char session_context[] = "postern";

	for (; context->count < count; context->count++) {
		SSL_CTX *ctx = ssl_ctx_new(TLS_server_method(), minimum_version);

		context->contexts[context->count] = ctx;
		SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_dh_auto(ctx, 1);
		SSL_CTX_set_tlsext_servername_callback(ctx, choose_identity);
		SSL_CTX_set_tlsext_servername_arg(ctx, context);
		if (ticket_keys)
			SSL_CTX_set_tlsext_ticket_keys(
				ctx, (void *)(uintptr_t)ticket_keys, TLS_TICKET_KEYS_SIZE);
		if (!load_chain(ctx, &identities[context->count], err) ||
			!load_key(ctx, &identities[context->count], err)) {
			context->count++;
			tls_context_free(&context);
			return NULL;
		}
	}
	return context;
}

struct tls_context *tls_context_client(bool verify, struct err *err)
{
	struct tls_context *context = context_new(1);
	SSL_CTX *ctx = ssl_ctx_new(TLS_client_method(), TLS1_2_VERSION);

	context->contexts[0] = ctx;
	context->count = 1;
	context->verify = verify;
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (verify && SSL_CTX_set_default_verify_paths(ctx) != 1) {
		tls_error_text(err, "the system's trust store can't be read");
		tls_context_free(&context);
	}
	return context;
}

void tls_context_free(struct tls_context **context)
{
	if (!*context)
		return;
	for (size_t i = 0; i < (*context)->count; i++)
		SSL_CTX_free((*context)->contexts[i]);
	free((*context)->contexts);
	BIO_meth_free((*context)->bio);
	free(*context);
	*context = NULL;
}

void tls_context_set_wire(struct tls_context *context, const struct tls_wire *wire)
{
	context->wire = wire;
}

struct ssl_st *tls_connection_new(
	struct tls_context *context, bool accepting, const char *server_name, void *wire)
{
	SSL *ssl = SSL_new(context->contexts[0]);
	BIO *bio = ssl ? BIO_new(context->bio) : NULL;
	struct wire_bio *data;
	struct ip ip;

	ENSURE(ssl && bio && context->wire);
	data = memory_new(sizeof(*data));
	*data = (struct wire_bio){context, wire};
	BIO_set_data(bio, data);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	if (accepting) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	SSL_set_connect_state(ssl);
	if (!server_name)
		return ssl;
	if (ip_parse(span_text(server_name), &ip)) {
		if (context->verify)
			X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name);
	} else {
		SSL_set_tlsext_host_name(ssl, server_name);
		if (context->verify)
			SSL_set1_host(ssl, server_name);
	}
	return ssl;
}
