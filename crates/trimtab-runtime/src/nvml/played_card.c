/* Functions of NVML, played for tests: names, arguments and structures are those of the library's
 * interface. The card at 07:00.0 counts 1.5 J each time it is asked and has two processes, one of
 * them the asking one with two contexts. The card at 08:00.0 is an old one that nobody uses, and the
 * one at 09:00.0 is divided. */
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

struct memory_v2 {
    unsigned int version;
    unsigned long long total, reserved, free, used;
};

struct process_info {
    unsigned int pid;
    unsigned long long used_memory;
    unsigned int gpu_instance, compute_instance;
};

static int cards[3];
static unsigned long long energy = 1000000;

int nvmlInit_v2(void) { return SUCCESS; }

int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device) {
    if (!strcmp(address, "0000:07:00.0"))
        *device = &cards[0];
    else if (!strcmp(address, "0000:08:00.0"))
        *device = &cards[1];
    else if (!strcmp(address, "0000:09:00.0"))
        *device = &cards[2];
    else
        return NOT_FOUND;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *device, unsigned int *current, unsigned int *pending) {
    if (device == &cards[1])
        return NOT_SUPPORTED;
    *current = *pending = device == &cards[2];
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    if (device == &cards[1])
        return NOT_SUPPORTED;
    energy += 1500;
    *millijoules = energy;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *memory) {
    (void)device;
    /* The version that callers have to ask for: the structure's size, and a 2 above it. */
    if (memory->version != (sizeof *memory | 2u << 24))
        return INVALID_ARGUMENT;
    memory->total = 16ull << 30;
    memory->reserved = 0;
    memory->used = 5ull << 30;
    memory->free = 11ull << 30;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, struct process_info *list) {
    unsigned int n = device == &cards[0] ? 3 : 0;
    if (*count < n || (n && !list)) {
        *count = n;
        return INSUFFICIENT_SIZE;
    }
    *count = n;
    if (n) {
        list[0] = (struct process_info){1, 2ull << 30, -1u, -1u};
        list[1] = (struct process_info){getpid(), 2ull << 30, -1u, -1u};
        list[2] = (struct process_info){getpid(), 1ull << 30, -1u, -1u};
    }
    return SUCCESS;
}
