/*
 * planted: a library that declares lib/base and calls upward, into a layer that it doesn't declare.
 * It includes no header of that layer, so that only the link can find it out.
 */

int proxy_symbol_that_base_must_not_see(void);
int planted_upward_call(void);

int planted_upward_call(void)
{
	return proxy_symbol_that_base_must_not_see();
}
