/* malloc, calloc and realloc of the kernel, of which one call can fail or change a text, as
 * another thread could do: link with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free. */

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);

/* The number of allocations that succeed before one fails; negative for all of them. */
long allocations_before_failure = -1;
/* The number of allocations before the one at which `change_texts` is called; negative for none. */
long allocations_before_change = -1;
void (*change_texts)(void) = NULL;
/* The number of blocks that have not been freed. */
long blocks_in_use = 0;

static int fails(void)
{
    if (allocations_before_change >= 0 && allocations_before_change-- == 0)
        change_texts();
    return allocations_before_failure >= 0 && allocations_before_failure-- == 0;
}

static void *counted(void *memory)
{
    blocks_in_use += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    blocks_in_use -= memory != NULL;
    return counted(__real_realloc(memory, size));
}

void __wrap_free(void *memory)
{
    blocks_in_use -= memory != NULL;
    __real_free(memory);
}
