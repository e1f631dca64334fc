/* An empty program: what a library is linked into to see that it needs nothing but its declared
 * dependencies. */

int main(void)
{
	return 0;
}
