/*
 * In place of vmm/cpu/native/native.h for the software CPU as compiled for the lab: it interprets,
 * whatever it is told. Translated code makes of undefined flags what AMD's processors do.
 */
#ifndef LAB_TCG_NATIVE_H
#define LAB_TCG_NATIVE_H

#include "../../../../../../vmm/cpu/native/native.h"

#define native_create(use) native_create(((void)(use), NATIVE_NEVER))

#endif
